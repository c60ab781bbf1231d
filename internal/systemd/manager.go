package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that started this process. The nil Manager is
// none. It is safe for concurrent use.
type Manager struct {
	socket   string        // that it is told on
	watchdog time.Duration // 0 is none
	onError  func(error)
}

// sendTimeout is how long the manager may take for a message: one that reads
// none must not hold up calls, nor the end.
const sendTimeout = time.Second

// Problem is a variable of the service manager's that is ignored, since its
// value is wrong, and why. It does not quote the value.
type Problem struct{ Variable, Reason string }

// Open returns the service manager that the environment names, nil if there is
// none. Without a good WATCHDOG_USEC and WATCHDOG_PID it does not watch. onError
// is called with each message that does not reach it.
func Open(onError func(error)) (*Manager, []Problem) {
	watchdog, err := daemon.SdWatchdogEnabled(true)
	var problems []Problem
	if err != nil {
		problems = []Problem{{"WATCHDOG_USEC", "it or WATCHDOG_PID is not a number that a service manager sets; no watchdog is notified"}}
	}
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil, problems
	}
	return &Manager{socket: socket, watchdog: max(0, watchdog), onError: onError}, problems
}

// Ready tells that the service has started, or has reloaded its settings, and
// shows a line of status.
func (m *Manager) Ready(status string) {
	m.send(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// Reloading tells that the service reads its settings; Ready is to follow.
func (m *Manager) Reloading() {
	m.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping tells that the service has begun to stop.
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

// Watches tells whether the manager ends a service that does not say that it is
// alive.
func (m *Manager) Watches() bool { return m != nil && m.watchdog > 0 }

// Watch says that the service is alive, until ctx ends, three times in each
// period of the watchdog, whenever check returns nil within one such third. A
// check that fails is told to onError, and nothing to the manager.
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
			m.onError(fmt.Errorf("the service manager's watchdog is not told that all is well: %w", err))
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

// within calls check, and does not wait for it longer than that: what it looks
// at may hang.
func within(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- check(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("the check of liveness hangs")
	}
}
