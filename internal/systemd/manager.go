package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that started this process. The methods of a nil
// Manager do nothing. Manager is safe for concurrent use.
type Manager struct {
	watchdog time.Duration // 0 if the manager has none
	onError  func(error)
}

// Open returns the service manager that the environment describes, or nil if there
// is none. onError is called for each message that cannot be sent.
func Open(onError func(error)) (*Manager, error) {
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return nil, fmt.Errorf("invalid WATCHDOG_USEC or WATCHDOG_PID from the service manager: %w", err)
	}
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil, nil
	}
	return &Manager{watchdog: watchdog, onError: onError}, nil
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
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.onError(fmt.Errorf("notify the service manager: %w", err))
	}
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
