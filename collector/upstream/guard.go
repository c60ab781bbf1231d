package upstream

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Guard recognises what would lead back to us: addresses of our own listeners, and
// connections to upstreams that redirect rules bring back as those of programs. It
// is safe for concurrent use.
type Guard struct {
	onLoop   func(from netip.AddrPort)
	watching atomic.Bool

	mu        sync.Mutex // protects the fields below
	listeners map[netip.AddrPort]int
	paths     map[path]registrations
}

// path is a connection's source address and original destination. Both are needed
// to identify it: on one host, two connections to different destinations may have
// the same source port.
type path struct{ from, to netip.AddrPort }

// registrations is how often a path is registered as a connection to an upstream and as
// that of a program. It is both if the connection came back.
type registrations struct {
	upstreams, programs int
	cameBack            bool // and the connection to the upstream is still registered
}

// NewGuard returns a Guard. onLoop, if not nil, is called with the source address
// of each connection that came back, once. It must not block.
func NewGuard(onLoop func(from netip.AddrPort)) *Guard {
	if onLoop == nil {
		onLoop = func(netip.AddrPort) {}
	}
	return &Guard{onLoop: onLoop, listeners: make(map[netip.AddrPort]int), paths: make(map[path]registrations)}
}

// Listen registers the address of a listener of ours until stop is called. Only TCP
// addresses matter.
func (g *Guard) Listen(address net.Addr) (stop func()) {
	at := addrPort(address)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners[at]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.listeners[at]--; g.listeners[at] == 0 {
			delete(g.listeners, at)
		}
	}
}

// Listens reports whether one of our own listeners is at an address.
func (g *Guard) Listens(address netip.AddrPort) bool {
	ip := address.Addr().Unmap()
	g.mu.Lock()
	defer g.mu.Unlock()
	for ln := range g.listeners {
		at := ln.Addr()
		if !at.IsValid() || ln.Port() != address.Port() {
			continue
		}
		if at == ip || (at.IsUnspecified() || ip.IsUnspecified()) && isLocal(ip) {
			return true
		}
	}
	return false
}

// isLocal reports whether ip is an address of this machine.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // a refused call is better than a loop
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if at, ok := netip.AddrFromSlice(n.IP); ok && at.Unmap() == ip.WithZone("") {
				return true
			}
		}
	}
	return false
}

// Watch makes the Guard register connections to upstreams, which is only needed if
// connections are redirected to us. It must be called before the first of those.
func (g *Guard) Watch() { g.watching.Store(true) }

// Connected registers a connection to an upstream, until Closed. It returns an error
// if the connection came back to us. The same connection may be registered several
// times.
func (g *Guard) Connected(from, to netip.AddrPort) error {
	if !g.watching.Load() {
		return nil
	}
	err := g.register(path{from, to}, 1, 0)
	if err != nil {
		g.Closed(from, to)
	}
	return err
}

// Closed ends a registration by Connected. It does nothing if there is none.
func (g *Guard) Closed(from, to netip.AddrPort) { g.unregister(path{from, to}, 1, 0) }

// Accepted registers a redirected connection of a program, until Left. It returns an
// error if the connection is one of our own.
func (g *Guard) Accepted(from, to netip.AddrPort) error { return g.register(path{from, to}, 0, 1) }

// Left ends a registration by Accepted.
func (g *Guard) Left(from, to netip.AddrPort) { g.unregister(path{from, to}, 0, 1) }

// register adds registrations of a path. If there are then some of both kinds, the
// connection came back: it is reported the first time, and errLoop is returned. So
// whichever end is registered last recognises it.
func (g *Guard) register(p path, upstreams, programs int) error {
	g.mu.Lock()
	r := g.paths[p]
	r.upstreams += upstreams
	r.programs += programs
	looped := r.upstreams > 0 && r.programs > 0
	first := looped && !r.cameBack
	r.cameBack = r.cameBack || looped
	g.paths[p] = r
	g.mu.Unlock()
	if first {
		g.onLoop(p.from)
	}
	if looped {
		return errLoop
	}
	return nil
}

func (g *Guard) unregister(p path, upstreams, programs int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.paths[p]
	r.upstreams = max(0, r.upstreams-upstreams)
	r.programs = max(0, r.programs-programs)
	r.cameBack = r.cameBack && r.upstreams > 0
	if r == (registrations{}) {
		delete(g.paths, p)
	} else {
		g.paths[p] = r
	}
}

// cameBack reports whether a registered connection to an upstream came back.
func (g *Guard) cameBack(p path) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paths[p].cameBack
}

// pathOf returns the path of a connection to an upstream.
func pathOf(nc net.Conn) path { return path{addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr())} }

// addrPort returns the address of a TCP connection's end; invalid for others.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
