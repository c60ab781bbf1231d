package pathcheck

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Timer runs checks periodically. It is also the sink of its own calls, so that
// they are not counted as the user's.
type Timer struct {
	// Check is run without Roots, Connected, Observed and Passed, which Timer
	// sets.
	Check Check
	// Roots returns the certificates that programs which start now trust. They
	// change as CAs rotate. If nil, the system's are used.
	Roots    func() (*x509.CertPool, error)
	Interval time.Duration
	// Timeout is the timeout of one check.
	Timeout time.Duration
	// Changed is called when the result of a check differs from the previous one.
	// err is an *Error, or nil for success.
	Changed func(err error)

	mu     sync.Mutex
	local  netip.AddrPort // of the running check's connection
	seen   chan classify.Verdict
	status Status
}

// Status is the result of the last check.
type Status struct {
	Done        bool // a check has been run
	Failed      Stage
	LastSuccess time.Time // zero before the first
	Duration    time.Duration
}

// Status returns the result of the last check.
func (t *Timer) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// Owns reports whether client is the running check's connection.
func (t *Timer) Owns(client netip.AddrPort) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.local.IsValid() && t.local == client
}

// Begin implements classify.Sink.
func (t *Timer) Begin(*classify.Call) {}

// Observe implements classify.Sink.
func (t *Timer) Observe(o *classify.Observation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case t.seen <- o.Verdict:
	default:
	}
}

// Run runs a check at once and then at every interval until ctx is done.
func (t *Timer) Run(ctx context.Context) {
	tick := time.NewTicker(t.Interval)
	defer tick.Stop()
	for {
		t.once(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (t *Timer) once(ctx context.Context) {
	checkCtx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	seen := make(chan classify.Verdict, 1)
	t.mu.Lock()
	t.seen = seen
	t.mu.Unlock()

	c := t.Check
	c.Connected = func(local net.Addr) {
		if tcp, ok := local.(*net.TCPAddr); ok {
			ap := tcp.AddrPort()
			t.mu.Lock()
			t.local = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
			t.mu.Unlock()
		}
	}
	c.Observed = func(ctx context.Context, id string) error {
		select {
		case v := <-seen:
			if v.RequestID.String() != id || v.Category != classify.CategoryAuth {
				return fmt.Errorf("observed as %s %s with request ID %s instead of %s", v.Category, v.Code, v.RequestID.String(), id)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	start := time.Now()
	err := t.run(checkCtx, &c)
	t.disown(seen, err != nil)
	if ctx.Err() != nil {
		return // the tap is stopping
	}
	t.note(err, start)
}

func (t *Timer) run(ctx context.Context, c *Check) error {
	if t.Roots != nil {
		roots, err := t.Roots()
		if err != nil {
			return fail(StageTrust, err)
		}
		c.Roots = roots
	}
	_, err := c.Run(ctx)
	return err
}

// disown stops treating the connection as the check's own. The observation of a
// failed check arrives shortly after its response, and is waited for.
func (t *Timer) disown(seen <-chan classify.Verdict, wait bool) {
	if wait {
		select {
		case <-seen:
		case <-time.After(time.Second):
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.local = netip.AddrPort{}
}

// note stores the result of a check and reports a change.
func (t *Timer) note(err error, start time.Time) {
	now := Status{Done: true, Duration: time.Since(start)}
	if failed := (*Error)(nil); errors.As(err, &failed) {
		now.Failed = failed.Stage
	}
	t.mu.Lock()
	old := t.status
	now.LastSuccess = old.LastSuccess
	if err == nil {
		now.LastSuccess = start
	}
	t.status = now
	t.mu.Unlock()
	if now.Failed != old.Failed || !old.Done {
		t.Changed(err)
	}
}
