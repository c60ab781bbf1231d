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

// ends are the near ends of connections to upstreams. A client at one of them
// is ourselves.
type ends struct {
	on atomic.Bool // connections are redirected to us
	mu sync.Mutex
	m  map[netip.AddrPort]bool // whether it was seen as a client
}

// add returns the near end of nc; it is invalid if nobody will ask for it.
func (e *ends) add(nc net.Conn) netip.AddrPort {
	if !e.on.Load() {
		return netip.AddrPort{}
	}
	at := addrPort(nc.LocalAddr())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.m == nil {
		e.m = make(map[netip.AddrPort]bool)
	}
	e.m[at] = false
	return at
}

func (e *ends) remove(at netip.AddrPort) {
	if !at.IsValid() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.m, at)
}

// see reports whether at is one of them, and whether it is seen for the first
// time.
func (e *ends) see(at netip.AddrPort) (ours, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen, ours := e.m[at]
	if ours {
		e.m[at] = true
	}
	return ours, ours && !seen
}

func (e *ends) seen(at netip.AddrPort) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.m[at]
}

// IsOwn reports whether a client at that address is ourselves.
func (s *Server) IsOwn(client net.Addr) bool {
	ours, _ := s.pool.ends.see(addrPort(client))
	return ours
}

// Expect has a connection of our own known as such, for as long as it is not
// served yet; forget ends that. cameBack reports whether it came back to us.
func (s *Server) Expect(nc net.Conn) (cameBack func() bool, forget func()) {
	near := s.pool.ends.add(nc)
	if !near.IsValid() {
		return func() bool { return false }, func() {}
	}
	s.cameBack(near)
	return func() bool { return s.pool.ends.seen(near) }, func() { s.pool.ends.remove(near) }
}

// cameBack reports whether a connection of our own is that of a client, which
// was taken before it was known as ours, and tells of it. It is to be asked as
// soon as the connection is among the ends: a client is one of conns before it
// is looked up there, so that one of the two finds the other.
func (s *Server) cameBack(near netip.AddrPort) bool {
	if !near.IsValid() || !s.hasClient(near) {
		return false
	}
	if _, first := s.pool.ends.see(near); first && s.cfg.CameBack != nil {
		s.cfg.CameBack(near)
	}
	return true
}

func (s *Server) hasClient(at netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.x.Client == at {
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
