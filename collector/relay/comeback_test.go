package relay

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

// between is a connection that has ends, and nothing else.
type between struct {
	net.Conn
	from, to string
}

func (b between) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(b.from))
}

func (b between) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(b.to)) }

// TestLoop recognises connections of our own that come back, whichever of their two
// ends is known first, and once each; and no others, though they begin at the
// same address.
func TestLoop(t *testing.T) {
	const here, api, other = "10.0.0.1:40000", "198.51.100.1:443", "198.51.100.2:443"
	bound := netip.MustParseAddrPort(api)
	var told []netip.AddrPort
	server := func() *Server {
		told = nil
		s := New(Config{CameBack: func(from netip.AddrPort) { told = append(told, from) }})
		s.ways.on.Store(true)
		return s
	}
	client := func(s *Server) *pair {
		p := &pair{s: s, client: netip.MustParseAddrPort(here)}
		s.pairs[p] = struct{}{}
		return p
	}
	once := []netip.AddrPort{netip.MustParseAddrPort(here)}

	s := server()
	back, forget := s.Expect(between{from: here, to: api})
	if !s.isOwn(client(s), bound) || !back() || !slices.Equal(told, once) {
		t.Errorf("known as ours first: came back %v, told %v", back(), told)
	}
	forget()
	if s.isOwn(client(s), bound) {
		t.Error("known as ours after it was forgotten")
	}

	s = server()
	if s.isOwn(client(s), bound) {
		t.Error("known as ours before it is")
	}
	if back, _ := s.Expect(between{from: here, to: api}); !back() || !slices.Equal(told, once) {
		t.Errorf("known as a client's first: came back %v, told %v", back(), told)
	}

	s = server()
	if s.isOwn(client(s), bound) {
		t.Error("a program's connection is taken for ours")
	}
	if back, _ := s.Expect(between{from: here, to: other}); back() || told != nil {
		t.Errorf("a connection to somewhere else that begins at the same port came back: %v", told)
	}

	s = New(Config{})
	if back, _ := s.Expect(between{from: here, to: api}); back() || s.isOwn(client(s), bound) {
		t.Error("looked for where nothing is redirected")
	}
}
