package collector

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Limits: the number of programs that are remembered, and the bytes of a User-Agent.
const (
	maxDistrusts = 1024
	maxAgent     = 256
)

const (
	// enoughAborts is how many connections in a row have to end without an alert
	// before that counts as a refusal.
	enoughAborts = 2
	// firstDistrust is how long a program that refused is tunnelled before
	// interception is tried again. It doubles with each refusal after such a time,
	// up to longestDistrust.
	firstDistrust   = 10 * time.Minute
	longestDistrust = time.Hour
	// trustTime is how long it is remembered that a certificate was accepted.
	trustTime = 24 * time.Hour
	// retryTime is how long the connection that follows a refusal is waited for,
	// if others with the same identity accept our certificates, and maxRetries how
	// many such connections.
	retryTime  = time.Minute
	maxRetries = 8
	// everyone is a number of connections that is not counted down.
	everyone = math.MaxInt
)

// distrusts remembers which programs do not accept our certificates, because they
// use their own CAs or pin certificates. Where that is permitted (OtherPass, and on
// transparent listeners), their connections are then tunnelled without being observed.
//
// One TLS alert that rejects the certificate is a refusal. A connection that ends
// without an alert, during the handshake or soon after it and before a request (as
// with programs that compare the certificate with their pins then), may have other
// reasons: two in a row are one.
//
// A program is known by identity only, so several may share one. If none with the
// identity has accepted a certificate lately, a refusal is followed by a time in which
// all their connections are tunnelled. If one has, they differ, and each refusal is
// followed by one tunnelled connection, presumably the retry of the program that
// refused; all others are intercepted.
//
// At maxDistrusts, the identity that was seen least recently is forgotten. The zero
// value is empty. It is safe for concurrent use.
type distrusts struct {
	mu  sync.Mutex
	all map[identity]*distrust
}

// identity is what is known of a program before TLS.
type identity struct {
	client netip.Addr
	host   hostname.Name // that it calls
	agent  string        // User-Agent of its CONNECT; "" without one
}

func newIdentity(client netip.Addr, host hostname.Name, agent []byte) identity {
	return identity{client, host, string(agent[:min(len(agent), maxAgent)])}
}

// distrust is what is known of the programs with one identity.
type distrust struct {
	seen     time.Time     // last
	accepted time.Time     // when a certificate was accepted last; zero if never
	aborts   int           // since the last accepted certificate or refusal
	tunnels  int           // how many connections are tunnelled before until
	until    time.Time     // after that, all are intercepted
	length   time.Duration // of the last time in which all were tunnelled
}

// failed records that a handshake failed.
func (d *distrusts) failed(id identity, reason HandshakeReason, now time.Time) {
	if reason != HandshakeUntrusted && reason != HandshakeAborted {
		return // these have no known cause
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.get(id, now)
	if e.aborts++; reason == HandshakeUntrusted || e.aborts >= enoughAborts {
		e.refused(now)
	}
}

// refused records that a program refused our certificate.
func (e *distrust) refused(now time.Time) {
	e.aborts = 0
	if !e.accepted.IsZero() && now.Sub(e.accepted) < trustTime {
		if !now.Before(e.until) {
			e.tunnels = 0
		}
		e.tunnels = min(e.tunnels+1, maxRetries)
		e.until = now.Add(retryTime)
		return
	}
	if e.tunnels == everyone && now.Before(e.until) { // of a connection that was opened before
		return
	}
	e.length = min(max(2*e.length, firstDistrust), longestDistrust)
	e.tunnels, e.until = everyone, now.Add(e.length)
}

// accepted records that a program trusts us.
func (d *distrusts) accepted(id identity, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.get(id, now)
	e.accepted, e.aborts, e.length = now, 0, 0
	if e.tunnels == everyone {
		e.tunnels = 0
	}
}

// tunnels reports whether a connection that begins now is tunnelled.
func (d *distrusts) tunnels(id identity, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.all[id]
	if e == nil {
		return false
	}
	e.seen = now
	if e.tunnels == 0 || !now.Before(e.until) {
		return false
	}
	if e.tunnels != everyone {
		e.tunnels--
	}
	return true
}

// get returns the entry of id, which is new if there was none. mu is held.
func (d *distrusts) get(id identity, now time.Time) *distrust {
	e := d.all[id]
	if e == nil {
		if d.all == nil {
			d.all = make(map[identity]*distrust)
		}
		if len(d.all) >= maxDistrusts {
			delete(d.all, d.oldest())
		}
		e = &distrust{}
		d.all[id] = e
	}
	e.seen = now
	return e
}

// oldest returns the identity that was seen least recently. Looking through all is
// little beside the handshake that adds one.
func (d *distrusts) oldest() (oldest identity) {
	var seen time.Time
	for id, e := range d.all {
		if seen.IsZero() || e.seen.Before(seen) {
			oldest, seen = id, e.seen
		}
	}
	return oldest
}

// clear removes all entries.
func (d *distrusts) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = nil
}

// Unobserved is a request or a tunnel that is forwarded without being observed.
type Unobserved struct {
	Host   string
	Port   uint16
	Tapped bool // the host is tapped, but the program does not accept interception
}
