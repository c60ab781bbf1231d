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
	upstreams map[path]upstreamPath
	programs  map[path]int
}

// path is a connection's source address and original destination. Both are needed
// to identify it: on one host, two connections to different destinations may have
// the same source port.
type path struct{ from, to netip.AddrPort }

// upstreamPath is what is known of a connection to an upstream.
type upstreamPath struct {
	uses     int
	cameBack bool
}

// NewGuard returns a Guard. onLoop, if not nil, is called with the source address
// of each connection that came back, once. It must not block.
func NewGuard(onLoop func(from netip.AddrPort)) *Guard {
	if onLoop == nil {
		onLoop = func(netip.AddrPort) {}
	}
	return &Guard{
		onLoop: onLoop, listeners: make(map[netip.AddrPort]int),
		upstreams: make(map[path]upstreamPath), programs: make(map[path]int),
	}
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
		release(g.listeners, at)
	}
}

// release decrements a count, and deletes it at 0.
func release[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
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

// Connections that come back are recognised by whichever end is registered last.

// Connected registers a connection to an upstream, until Closed. It returns an error
// if the connection came back to us. The same connection may be registered several
// times.
func (g *Guard) Connected(from, to netip.AddrPort) error {
	if !g.watching.Load() {
		return nil
	}
	p := path{from, to}
	g.mu.Lock()
	up := g.upstreams[p]
	up.uses++
	g.upstreams[p] = up
	looped := g.programs[p] > 0
	g.mu.Unlock()
	if looped {
		g.looped(p)
		g.Closed(from, to)
		return errLoop
	}
	return nil
}

// Closed ends a registration by Connected. It does nothing if there is none.
func (g *Guard) Closed(from, to netip.AddrPort) {
	p := path{from, to}
	g.mu.Lock()
	defer g.mu.Unlock()
	if up, ok := g.upstreams[p]; ok {
		if up.uses--; up.uses > 0 {
			g.upstreams[p] = up
		} else {
			delete(g.upstreams, p)
		}
	}
}

// Accepted registers a redirected connection of a program, until Left. It returns an
// error if the connection is one of our own.
func (g *Guard) Accepted(from, to netip.AddrPort) error {
	p := path{from, to}
	g.mu.Lock()
	g.programs[p]++
	_, ours := g.upstreams[p]
	g.mu.Unlock()
	if ours {
		g.looped(p)
		return errLoop
	}
	return nil
}

// Left ends a registration by Accepted.
func (g *Guard) Left(from, to netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	release(g.programs, path{from, to})
}

// looped records that a connection came back, and reports it the first time.
func (g *Guard) looped(p path) {
	g.mu.Lock()
	up, ok := g.upstreams[p]
	first := ok && !up.cameBack
	if first {
		up.cameBack = true
		g.upstreams[p] = up
	}
	g.mu.Unlock()
	if first {
		g.onLoop(p.from)
	}
}

// cameBack reports whether a registered connection to an upstream came back.
func (g *Guard) cameBack(p path) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.upstreams[p].cameBack
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
