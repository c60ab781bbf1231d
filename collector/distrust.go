package collector

import "sync"

// The limits of what is remembered: programs, and bytes of a User-Agent.
const (
	maxDistrusts = 1024
	maxAgent     = 256
)

// distrusts remembers which programs do not accept our certificates, since they
// bring trust of their own or pin certificates: after their first refusal they
// are passed on unseen, where the policy lets other hosts pass. A program is
// known by the host that it calls and the User-Agent of its CONNECT. The zero
// value is empty. It is safe for concurrent use.
type distrusts struct {
	mu  sync.Mutex
	all map[distrust]struct{}
}

type distrust struct{ host, agent string }

func (d *distrusts) add(host, agent string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = make(map[distrust]struct{})
	}
	if len(d.all) < maxDistrusts {
		d.all[distrust{host, agent[:min(len(agent), maxAgent)]}] = struct{}{}
	}
}

func (d *distrusts) has(host, agent string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.all[distrust{host, agent[:min(len(agent), maxAgent)]}]
	return ok
}

// clear forgets all.
func (d *distrusts) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = nil
}

// Unseen is a request, or a tunnel, that is passed on unobserved.
type Unseen struct {
	Host   string
	Port   uint16
	Tapped bool // the host is tapped, but the program does not accept interception
}
