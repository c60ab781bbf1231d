package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// ErrLoop is why a connection to an upstream is given up that comes back to us,
// since it is redirected as those of programs are.
var ErrLoop = errors.New("the connection came back")

// path is where a connection begins and where it was bound for. Both are needed
// to know one again: on one host, two connections to different places may begin
// at the same port.
type path struct{ from, to netip.AddrPort }

// ways are the connections to upstreams, from where we made them. A client's
// that has the same path is our own, redirected.
type ways struct {
	on atomic.Bool // connections are redirected to us
	mu sync.Mutex
	m  map[path]bool // whether it was seen as a client's
}

// add returns the path of nc; the zero path if nobody will ask for it.
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

// Expect has a connection of our own known as such, for as long as it is not
// served yet; forget ends that. cameBack reports whether it came back to us.
func (s *Server) Expect(nc net.Conn) (cameBack func() bool, forget func()) {
	p := s.ways.add(nc)
	if p == (path{}) {
		return func() bool { return false }, func() {}
	}
	s.cameBack(p)
	return func() bool { return s.ways.seen(p) }, func() { s.ways.remove(p) }
}

// A connection that comes back is found by whichever of the next two is asked
// last: a client's path is known to cameBack before isOwn looks for it among
// our ways, and one of our ways is there before cameBack looks for a client.

// isOwn reports whether a client's connection, bound for another address, is
// our own, and tells of it.
func (s *Server) isOwn(p *pair, to netip.AddrPort) bool {
	s.mu.Lock()
	p.bound = to
	s.mu.Unlock()
	return s.look(path{p.client, to})
}

// cameBack reports whether one of our connections is that of a client, and
// tells of it.
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
