package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// ErrLoop is the error of a connection to an upstream that was redirected back to
// us, as the connections of programs are.
var ErrLoop = errors.New("the connection came back")

// path is a connection's source address and original destination. Both are needed
// to identify it: on one host, two connections to different destinations may have
// the same source port.
type path struct{ from, to netip.AddrPort }

// ways are our connections to upstreams. A client's connection with the same path
// is one of them, redirected to us.
type ways struct {
	on atomic.Bool // connections are redirected to us
	mu sync.Mutex
	m  map[path]bool // whether it was seen as a client's
}

// add adds nc and returns its path, or the zero path if none is needed.
func (w *ways) add(nc net.Conn) path {
	if !w.on.Load() {
		return path{}
	}
	p := path{addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr())}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = make(map[path]bool)
	}
	w.m[p] = false
	return p
}

func (w *ways) remove(p path) {
	if p == (path{}) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.m, p)
}

// see reports whether p is one of them, and whether it is seen for the first
// time.
func (w *ways) see(p path) (ours, first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen, ours := w.m[p]
	if ours {
		w.m[p] = true
	}
	return ours, ours && !seen
}

func (w *ways) seen(p path) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.m[p]
}

// Expect registers a connection of our own until it is served; forget removes it.
// cameBack reports whether it was redirected back to us.
func (s *Server) Expect(nc net.Conn) (cameBack func() bool, forget func()) {
	p := s.ways.add(nc)
	if p == (path{}) {
		return func() bool { return false }, func() {}
	}
	s.cameBack(p)
	return func() bool { return s.ways.seen(p) }, func() { s.ways.remove(p) }
}

// A connection that comes back is found by whichever of isOwn and cameBack is
// called last: a client's path is registered before isOwn looks for it in our
// ways, and our own is registered before cameBack looks for a client.

// isOwn reports whether a client's connection to another address is our own, and
// if so calls Config.CameBack.
func (s *Server) isOwn(p *pair, to netip.AddrPort) bool {
	s.mu.Lock()
	p.bound = to
	s.mu.Unlock()
	return s.look(path{p.client, to})
}

// cameBack reports whether one of our connections is that of a client, and if so
// calls Config.CameBack.
func (s *Server) cameBack(p path) bool { return p != (path{}) && s.hasClient(p) && s.look(p) }

func (s *Server) look(p path) bool {
	ours, first := s.ways.see(p)
	if first && s.cfg.CameBack != nil {
		s.cfg.CameBack(p.from)
	}
	return ours
}

func (s *Server) hasClient(p path) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.pairs {
		if c.client == p.from && c.bound == p.to {
			return true
		}
	}
	return false
}

// addrPort returns the address of a TCP connection's end; invalid for others.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
