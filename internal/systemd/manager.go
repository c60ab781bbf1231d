package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Manager is the service manager that started this process. The methods of a nil
// Manager do nothing. Manager is safe for concurrent use.
type Manager struct {
	socket   string        // its NOTIFY_SOCKET
	watchdog time.Duration // 0 if the manager has none
	onError  func(error)
}

// sendTimeout limits how long a message may take, so that a manager that reads none
// delays neither calls nor the end.
const sendTimeout = time.Second

// Open returns the service manager that the environment describes, or nil if there
// is none. Without a valid WATCHDOG_USEC and WATCHDOG_PID it has no watchdog.
// onError is called for each message that cannot be sent.
func Open(onError func(error)) (*Manager, []usererror.Ignored) {
	watchdog, err := daemon.SdWatchdogEnabled(true)
	var problems []usererror.Ignored
	if err != nil {
		problems = []usererror.Ignored{{Variable: "WATCHDOG_USEC", Reason: "it or WATCHDOG_PID is not a valid number; no watchdog is notified"}}
	}
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil, problems
	}
	return &Manager{socket: socket, watchdog: max(0, watchdog), onError: onError}, problems
}

// Ready reports that the service has started or has reloaded its settings, with a
// status line.
func (m *Manager) Ready(status string) {
	m.send(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// Reloading reports that the service is reloading its settings. Ready must follow.
func (m *Manager) Reloading() {
	m.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping reports that the service is stopping.
func (m *Manager) Stopping() {
	m.send(daemon.SdNotifyStopping + "\nSTATUS=finishing running calls")
}

func (m *Manager) send(state string) {
	if m == nil {
		return
	}
	if err := m.write(state); err != nil {
		m.onError(fmt.Errorf("notify the service manager: %w", err))
	}
}

func (m *Manager) write(state string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	if err = conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err == nil {
		_, err = conn.Write([]byte(state))
	}
	return errors.Join(err, conn.Close())
}

// Watches reports whether the manager kills the service if it stops reporting
// that it is alive.
func (m *Manager) Watches() bool { return m != nil && m.watchdog > 0 }

// Watch reports that the service is alive three times in each period of the
// watchdog, if check returns nil within that time, until ctx is done. If check
// fails, onError is called and nothing is reported.
func (m *Manager) Watch(ctx context.Context, check func(context.Context) error) {
	if !m.Watches() {
		return
	}
	every := m.watchdog / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := within(ctx, every, check)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			m.onError(fmt.Errorf("liveness check failed, so the watchdog is not notified: %w", err))
		default:
			m.send(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// within calls check and waits for it no longer than limit, because it may hang.
func within(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- check(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("liveness check timed out")
	}
}
