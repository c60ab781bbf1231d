package collector

import "sync"

// The limits of what is remembered: programs, and bytes of a User-Agent.
const (
	maxDistrusts = 1024
	maxAgent     = 256
)

// distrusts remembers which programs do not accept our certificates, since they
// bring trust of their own or pin certificates. After a refusal in so many words
// they are passed on unseen, where the listener is one program's own (OtherPass);
// from the second in a row on after an end without a word, which may be any end:
// within the handshake, or soon after it and before a request, as of programs that
// compare the certificate with their pins then. A
// program is known by the host that it calls and the User-Agent of its CONNECT.
// The zero value is empty. It is safe for concurrent use.
type distrusts struct {
	mu  sync.Mutex
	all map[distrust]int // enoughRefusals is never accepted again
}

const enoughRefusals = 2

type distrust struct{ host, agent string }

func newDistrust(host, agent string) distrust {
	return distrust{host, agent[:min(len(agent), maxAgent)]}
}

// failed notes that a handshake failed.
func (d *distrusts) failed(host, agent string, reason HandshakeReason) {
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
	case HandshakeUntrusted, HandshakeHTTP2:
		d.all[key] = enoughRefusals
	case HandshakeAborted:
		d.all[key] = min(n+1, enoughRefusals)
	case HandshakeTimeout, HandshakeOther: // about which nothing is known
	}
}

// accepted notes that a program trusts us.
func (d *distrusts) accepted(host, agent string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if key := newDistrust(host, agent); d.all[key] < enoughRefusals {
		delete(d.all, key)
	}
}

// has reports whether a program is passed on unseen.
func (d *distrusts) has(host, agent string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[newDistrust(host, agent)] >= enoughRefusals
}

// clear forgets all.
func (d *distrusts) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = nil
}

// Unobserved is a request, or a tunnel, that is passed on unobserved.
type Unobserved struct {
	Host   string
	Port   uint16
	Tapped bool // the host is tapped, but the program does not accept interception
}
