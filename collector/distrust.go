package collector

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Limits: the number of programs that are remembered, and the bytes of a User-Agent.
const (
	maxDistrusts = 1024
	maxAgent     = 256
)

// distrusts remembers which programs do not accept our certificates, because they
// use their own CAs or pin certificates. On a listener that serves one program
// only (OtherPass), their connections are then tunnelled without being observed.
// One TLS alert that rejects the certificate is enough. A connection that ends
// without an alert, during the handshake or soon after it and before a request (as
// with programs that compare the certificate with their pins then), may have other
// reasons: two in a row are needed. A program is identified by the host that it
// calls and the User-Agent of its CONNECT. The zero value is empty. It is safe for
// concurrent use.
type distrusts struct {
	mu  sync.Mutex
	all map[distrust]int // enoughRefusals is never accepted again
}

const enoughRefusals = 2

type distrust struct {
	host  hostname.Name
	agent string
}

func newDistrust(host hostname.Name, agent string) distrust {
	return distrust{host, agent[:min(len(agent), maxAgent)]}
}

// failed records that a handshake failed.
func (d *distrusts) failed(host hostname.Name, agent string, reason HandshakeReason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = make(map[distrust]int)
	}
	key := newDistrust(host, agent)
	n, known := d.all[key]
	if !known && len(d.all) >= maxDistrusts {
		return
	}
	switch reason {
	case HandshakeUntrusted:
		d.all[key] = enoughRefusals
	case HandshakeAborted:
		d.all[key] = min(n+1, enoughRefusals)
	case HandshakeTimeout, HandshakeOther: // these have no known cause
	}
}

// accepted records that a program trusts us.
func (d *distrusts) accepted(host hostname.Name, agent string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if key := newDistrust(host, agent); d.all[key] < enoughRefusals {
		delete(d.all, key)
	}
}

// has reports whether a program's connections are tunnelled.
func (d *distrusts) has(host hostname.Name, agent string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[newDistrust(host, agent)] >= enoughRefusals
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
