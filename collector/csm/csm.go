// Package csm takes in what programs tell of their own calls: the records of
// client-side monitoring that the Go SDK of AWS, version 1, and with it the
// vendor's SDK for Go, send by UDP where AWS_CSM_ENABLED is true. The program
// needs no proxy and no CA then.
//
//	program ──call──────────────────────────────────> API
//	   └─UDP record──> Intake ──> parse ──> classify ──> Sink
//	                                 Seen ──┘ is it known from the proxy?
//
// A record ApiCallAttempt becomes one classify.Observation. A record ApiCall
// sums up attempts that were told of before, and is only counted.
//
// # What a record does not tell
//
// The SDK reports what it understood: an error inside a 2xx is a success to it.
// There is no request target, method, host or size, and the request ID only at
// the end of an error's message, of which the SDK keeps 512 bytes. Records may
// be lost, in the SDK's queue as on the way: Stats.AttemptsAnnounced is what
// the calls say their attempts were, and Stats.Attempts what came.
//
// Whoever may send to the socket may tell whatever it likes of calls that never
// were. It belongs on a loopback address.
package csm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
)

// DefaultAddress is where the SDK sends its records unless AWS_CSM_HOST and
// AWS_CSM_PORT say otherwise.
const DefaultAddress = "127.0.0.1:31000"

// MaxDatagram is the longest datagram that is read, in bytes.
const MaxDatagram = 64 << 10

// The limits of what waits to be held against the proxy's attempts.
const (
	hold    = time.Second // longer than the proxy takes to tell of a call that ended
	maxHeld = 1024
)

// Config is what an Intake works by.
type Config struct {
	// Classifier returns the classifier of the moment.
	Classifier func() *classify.Classifier
	Sink       collector.Sink
	// CredentialKey keys the hash of access keys: the proxy's, so that both tell
	// of one credential by one name.
	CredentialKey []byte
	// Seen knows the attempts that also passed the proxy, which are not told
	// again; nil if there is no proxy. Records wait for a second then, since
	// either may be the first to tell.
	Seen *Seen
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Intake reads records and tells a collector.Sink of them, on the goroutine that
// serves. It is safe for concurrent use.
type Intake struct {
	cfg   Config
	stats counters

	mu      sync.Mutex // guards the fields below
	closed  bool
	conns   []net.PacketConn
	serving sync.WaitGroup
}

// Stats is a snapshot of an intake's counters, all since the start.
type Stats struct {
	Datagrams int64 // received

	Attempts int64 // records of attempts
	Calls    int64 // records of calls
	// AttemptsAnnounced is the sum of the attempts that calls say they made.
	// What it is ahead of Attempts was lost on the way.
	AttemptsAnnounced int64
	RetriesExhausted  int64 // calls that failed after the last attempt allowed
	Unsent            int64 // calls that failed before anything was sent

	Malformed int64 // datagrams that are no record, or tell what cannot be
	Oversized int64 // datagrams longer than MaxDatagram
	Unknown   int64 // records of a type or version that is not known

	DuplicatesByID   int64 // attempts known from the proxy by their request ID
	DuplicatesByTime int64 // attempts known from the proxy by key, action, program and time
	Panics           int64 // recovered
}

// counters are Stats in the making.
type counters struct {
	datagrams, attempts, calls, announced, exhausted, unsent atomic.Int64
	malformed, oversized, unknown, byID, byTime, panics      atomic.Int64
}

// New returns an intake.
func New(cfg Config) (*Intake, error) {
	switch {
	case cfg.Classifier == nil:
		return nil, errors.New("csm: no classifier")
	case cfg.Sink == nil:
		return nil, errors.New("csm: no sink")
	case len(cfg.CredentialKey) == 0:
		return nil, errors.New("csm: no credential key")
	}
	cfg.CredentialKey = slices.Clone(cfg.CredentialKey)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Intake{cfg: cfg}, nil
}

// Serve takes records from pc, which becomes its own, until Shutdown, when it
// returns nil, or until pc fails. Several sockets may be served at once.
func (in *Intake) Serve(pc net.PacketConn) error {
	defer pc.Close() //nolint:errcheck // nothing is lost by it
	if !in.enter(pc) {
		return nil
	}
	defer in.serving.Done()
	w := waiting{in: in}
	defer w.releaseAll()
	buf := make([]byte, MaxDatagram+1)
	for {
		if err := pc.SetReadDeadline(w.due()); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		n, from, err := pc.ReadFrom(buf)
		w.releaseDue()
		switch {
		case err == nil:
			w.add(in.read(buf[:n], from))
		case errors.Is(err, net.ErrClosed) && in.isClosed():
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
}

// enter takes pc into what Shutdown closes; false after Shutdown.
func (in *Intake) enter(pc net.PacketConn) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.conns = append(in.conns, pc)
	in.serving.Add(1)
	return true
}

func (in *Intake) isClosed() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.closed
}

// Shutdown stops reading. Records that wait are told of first; where that takes
// longer than ctx allows, its error is returned. It may be called more than
// once, and before Serve.
func (in *Intake) Shutdown(ctx context.Context) error {
	in.mu.Lock()
	in.closed = true
	for _, pc := range in.conns {
		pc.Close() //nolint:errcheck // it is read from only
	}
	in.conns = nil
	in.mu.Unlock()

	served := make(chan struct{})
	go func() {
		in.serving.Wait()
		close(served)
	}()
	select {
	case <-served:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns the counters as they are.
func (in *Intake) Stats() Stats {
	c := &in.stats
	return Stats{
		Datagrams:         c.datagrams.Load(),
		Attempts:          c.attempts.Load(),
		Calls:             c.calls.Load(),
		AttemptsAnnounced: c.announced.Load(),
		RetriesExhausted:  c.exhausted.Load(),
		Unsent:            c.unsent.Load(),
		Malformed:         c.malformed.Load(),
		Oversized:         c.oversized.Load(),
		Unknown:           c.unknown.Load(),
		DuplicatesByID:    c.byID.Load(),
		DuplicatesByTime:  c.byTime.Load(),
		Panics:            c.panics.Load(),
	}
}

// read makes an observation of a datagram; nil where it tells of no attempt.
func (in *Intake) read(datagram []byte, from net.Addr) (o *classify.Observation) {
	defer in.guard()
	in.stats.datagrams.Add(1)
	if len(datagram) > MaxDatagram {
		in.stats.oversized.Add(1)
		return nil
	}
	r, err := parse(datagram)
	switch {
	case errors.Is(err, errUnknown):
		in.stats.unknown.Add(1)
	case err != nil:
		in.stats.malformed.Add(1)
	case r.Type == typeCall:
		in.count(&r)
	default:
		in.stats.attempts.Add(1)
		o = r.observation(in.cfg.Classifier(), in.cfg.CredentialKey, in.cfg.Now())
		o.Client = addrPort(from)
	}
	return o
}

// count counts a call.
func (in *Intake) count(r *record) {
	in.stats.calls.Add(1)
	failed := r.FinalAWSException != "" || r.FinalSDKException != ""
	if r.FinalAWSException != "" && r.FinalHTTPStatusCode == 0 {
		// No code of the vendor's comes without a status: the SDK could not sign
		// or build the request, but says that it made one attempt.
		in.stats.unsent.Add(1)
		return
	}
	in.stats.announced.Add(r.AttemptCount)
	if failed && r.MaxRetriesExceeded != 0 {
		in.stats.exhausted.Add(1)
	}
}

// tell hands o to the sink, unless the proxy has.
func (in *Intake) tell(o *classify.Observation) {
	defer in.guard()
	if in.cfg.Seen != nil {
		switch in.cfg.Seen.take(o) {
		case seenByID:
			in.stats.byID.Add(1)
			return
		case seenByTime:
			in.stats.byTime.Add(1)
			return
		case seenNot:
		}
	}
	in.cfg.Sink.Begin(&o.Call)
	in.cfg.Sink.Observe(o)
}

// guard keeps a panic of a sink's, or in reading a record, from ending the
// program.
func (in *Intake) guard() {
	if p := recover(); p != nil {
		in.stats.panics.Add(1)
	}
}

// addrPort returns the address of a sender; the zero value where it has none.
func addrPort(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := udp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// waiting are the observations that wait for the proxy to tell of the same
// attempts, the oldest first.
type waiting struct {
	in    *Intake
	queue []held
}

type held struct {
	o     *classify.Observation
	until time.Time
}

// add lets o wait, or tells of it at once where there is nothing to wait for. o
// may be nil. Where too many wait, the oldest has waited long enough.
func (w *waiting) add(o *classify.Observation) {
	switch {
	case o == nil:
		return
	case w.in.cfg.Seen == nil:
		w.in.tell(o)
		return
	case len(w.queue) == maxHeld:
		w.release(1)
	}
	w.queue = append(w.queue, held{o, w.in.cfg.Now().Add(hold)})
}

// due is when the oldest has waited long enough; the zero time if none waits.
func (w *waiting) due() time.Time {
	if len(w.queue) == 0 {
		return time.Time{}
	}
	return w.queue[0].until
}

// releaseDue tells of those that have waited long enough.
func (w *waiting) releaseDue() {
	if len(w.queue) == 0 {
		return
	}
	now, n := w.in.cfg.Now(), 0
	for n < len(w.queue) && !now.Before(w.queue[n].until) {
		n++
	}
	w.release(n)
}

func (w *waiting) releaseAll() { w.release(len(w.queue)) }

// release tells of the n oldest.
func (w *waiting) release(n int) {
	for _, h := range w.queue[:n] {
		w.in.tell(h.o)
	}
	w.queue = slices.Delete(w.queue, 0, n)
}
