// Package csm receives the client-side monitoring records of SDKs. The AWS SDK
// for Go, version 1, and the vendor's SDK for Go, which is based on it, send them
// over UDP if AWS_CSM_ENABLED is true. Such a program needs no proxy and no CA.
//
//	program ──call──────────────────────────────────> API
//	   └─UDP record──> Intake ──> parse ──> classify ──> Sink
//	                                 Seen ──┘ did the proxy observe it?
//
// An ApiCallAttempt record becomes one classify.Observation. An ApiCall record
// summarises the attempts of a call and is only counted.
//
// # Limits
//
// The SDK reports what it understood: it treats an error in a 2xx response as a
// success. A record has no request target, method, host or sizes. The request ID
// is only at the end of an error's message, which the SDK cuts to 512 bytes.
// Records may be lost in the SDK's queue or on the network; compare
// Stats.AttemptsAnnounced, the sum of the attempts that ApiCall records report,
// with Stats.Attempts.
//
// Anyone who can send to the socket can report calls that were never made, so it
// should listen on a loopback address.
package csm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// DefaultAddress is the address to which the SDK sends records, unless
// AWS_CSM_HOST and AWS_CSM_PORT are set.
const DefaultAddress = "127.0.0.1:31000"

// MaxDatagram is the maximum size of a datagram, in bytes.
const MaxDatagram = 64 << 10

// Records are held until the proxy has reported the same attempt.
const (
	hold    = time.Second // longer than the proxy takes to report a call that has ended
	maxHeld = 1024
)

// Config configures an Intake. Classifier, Sink and CredentialKey are required.
type Config struct {
	// Classifier returns the current classifier.
	Classifier func() *classify.Classifier
	Sink       classify.Sink
	// CredentialKey is the key of the hash of access keys. It must be that of the
	// proxy, so that both hash an access key to the same value.
	CredentialKey []byte
	// CredentialAliases are those of the proxy.
	CredentialAliases map[string]string
	// Seen, if not nil, knows the attempts that the proxy observed, which are not
	// reported again. Records are then held for a second, because either may
	// report an attempt first.
	Seen *Seen
	// Now is the clock. If nil, it is time.Now.
	Now func() time.Time
}

// Intake receives records and reports them to a classify.Sink, on the goroutine
// of Serve. It is safe for concurrent use.
type Intake struct {
	cfg   Config
	names classify.CredentialNames

	mu      sync.Mutex // guards the fields below
	stats   Stats
	closed  bool
	conns   []net.PacketConn
	serving sync.WaitGroup
}

// Stats is a snapshot of an Intake's counters, since its start.
type Stats struct {
	Datagrams int64 // received

	Attempts int64 // records of attempts
	Calls    int64 // records of calls
	// AttemptsAnnounced is the sum of the attempts that ApiCall records report.
	// The difference from Attempts was lost.
	AttemptsAnnounced int64

	Malformed int64 // datagrams that are not a record, or have an impossible value
	Oversized int64 // datagrams longer than MaxDatagram
	Unknown   int64 // records of an unknown type or version

	DuplicatesByID   int64 // attempts that the proxy observed, by request ID
	DuplicatesByTime int64 // attempts that the proxy observed, by access key, action, User-Agent and time
	Panics           int64 // recovered panics
}

// New returns an Intake.
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
	names := classify.CredentialNames{Key: cfg.CredentialKey, Aliases: cfg.CredentialAliases}
	return &Intake{cfg: cfg, names: names}, nil
}

// Serve receives records from pc until Shutdown, and then returns nil, or until
// pc fails. It closes pc. Several sockets may be served at once.
func (in *Intake) Serve(pc net.PacketConn) error {
	defer pc.Close() //nolint:errcheck // it is only read from
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

// enter adds pc to the sockets that Shutdown closes. It returns false after
// Shutdown.
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

// Shutdown stops receiving and reports the records that are held. If that takes
// longer than ctx allows, it returns ctx's error. It may be called more than
// once, and before Serve.
func (in *Intake) Shutdown(ctx context.Context) error {
	in.mu.Lock()
	in.closed = true
	for _, pc := range in.conns {
		pc.Close() //nolint:errcheck // it is only read from
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

// Stats returns the current values of the counters.
func (in *Intake) Stats() Stats {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stats
}

// add adds n to a counter of in.stats.
func (in *Intake) add(counter *int64, n int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	*counter += n
}

// read converts a datagram to an observation. It returns nil if the datagram is
// not the record of an attempt.
func (in *Intake) read(datagram []byte, from net.Addr) (o *classify.Observation) {
	defer in.guard()
	in.add(&in.stats.Datagrams, 1)
	if len(datagram) > MaxDatagram {
		in.add(&in.stats.Oversized, 1)
		return nil
	}
	r, err := parse(datagram)
	switch {
	case errors.Is(err, errUnknown):
		in.add(&in.stats.Unknown, 1)
	case err != nil:
		in.add(&in.stats.Malformed, 1)
	case r.Type == typeCall:
		in.count(&r)
	default:
		in.add(&in.stats.Attempts, 1)
		o = r.observation(in.cfg.Classifier(), &in.names, in.cfg.Now())
		o.Client = addrPort(from)
	}
	return o
}

// count counts the record of a call.
func (in *Intake) count(r *record) {
	in.add(&in.stats.Calls, 1)
	if r.FinalAWSException != "" && r.FinalHTTPStatusCode == 0 {
		// The vendor's errors come with a status: the SDK could not sign or build
		// the request, although it reports one attempt.
		return
	}
	in.add(&in.stats.AttemptsAnnounced, r.AttemptCount)
}

// report passes o to the sink, unless the proxy observed the same attempt.
func (in *Intake) report(o *classify.Observation) {
	defer in.guard()
	if in.cfg.Seen != nil {
		switch in.cfg.Seen.take(o) {
		case seenByID:
			in.add(&in.stats.DuplicatesByID, 1)
			return
		case seenByTime:
			in.add(&in.stats.DuplicatesByTime, 1)
			return
		case seenNot:
		}
	}
	in.cfg.Sink.Begin(&o.Call)
	in.cfg.Sink.Observe(o)
}

// guard recovers from a panic of the sink, or in reading a record.
func (in *Intake) guard() {
	if p := recover(); p != nil {
		in.add(&in.stats.Panics, 1)
	}
}

// addrPort returns the address of a sender, or the zero value if it has none.
func addrPort(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := udp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// waiting holds observations until the proxy may have reported the same attempts,
// the oldest first.
type waiting struct {
	in    *Intake
	queue []held
}

type held struct {
	o     *classify.Observation
	until time.Time
}

// add holds o, or reports it at once if there is no proxy. o may be nil. If too
// many are held, the oldest is reported.
func (w *waiting) add(o *classify.Observation) {
	switch {
	case o == nil:
		return
	case w.in.cfg.Seen == nil:
		w.in.report(o)
		return
	case len(w.queue) == maxHeld:
		w.release(1)
	}
	w.queue = append(w.queue, held{o, w.in.cfg.Now().Add(hold)})
}

// due returns when the oldest is to be reported, or the zero time if none is held.
func (w *waiting) due() time.Time {
	if len(w.queue) == 0 {
		return time.Time{}
	}
	return w.queue[0].until
}

// releaseDue reports those that were held for long enough.
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

// release reports the n oldest.
func (w *waiting) release(n int) {
	for _, h := range w.queue[:n] {
		w.in.report(h.o)
	}
	w.queue = slices.Delete(w.queue, 0, n)
}
