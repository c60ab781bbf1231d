package upstream

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGuardRecognisesLoops registers a connection of our own that comes back as
// that of a program: whichever is first, it is recognised and reported once. Others
// are not, even from the same address.
func TestGuardRecognisesLoops(t *testing.T) {
	here, api, other := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("198.51.100.1:443"), netip.MustParseAddrPort("198.51.100.2:443")
	once := []netip.AddrPort{here}
	var reported []netip.AddrPort
	guard := func() *Guard {
		reported = nil
		g := NewGuard(func(from netip.AddrPort) { reported = append(reported, from) })
		g.Watch()
		return g
	}

	g := guard()
	assert.NoError(t, g.Connected(here, api), "before it comes back")
	if err := g.Accepted(here, api); !errors.Is(err, errLoop) || !g.cameBack(path{here, api}) || !slices.Equal(reported, once) {
		t.Errorf("known as ours first: %v, came back %v, reported %v", err, g.cameBack(path{here, api}), reported)
	}
	g.Left(here, api)
	g.Closed(here, api)
	assert.NoError(t, g.Accepted(here, api), "known as ours after it was closed")

	g = guard()
	assert.NoError(t, g.Accepted(here, api), "known as ours before it is")
	if err := g.Connected(here, api); !errors.Is(err, errLoop) || !slices.Equal(reported, once) {
		t.Errorf("known as a program's first: %v, reported %v", err, reported)
	}

	g = guard()
	assert.NoError(t, g.Accepted(here, api), "a program's connection is taken for ours")
	if err := g.Connected(here, other); err != nil || reported != nil {
		t.Errorf("a connection to another server from the same port came back: %v, %v", err, reported)
	}

	g = NewGuard(nil)
	if g.Connected(here, api) != nil || g.Accepted(here, api) != nil {
		t.Error("connections are compared although none is redirected")
	}
	g.Closed(here, api)
	g.Left(here, api)
}

// TestGuardForgets registers each connection twice, as while it is being set up.
func TestGuardForgets(t *testing.T) {
	from, to := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("198.51.100.1:443")
	g := NewGuard(nil)
	g.Watch()
	for range 2 {
		require.NoError(t, g.Connected(from, to))
	}
	g.Closed(from, to)
	assert.Error(t, g.Accepted(from, to), "a connection that is registered once more came back unnoticed")
	g.Closed(from, to)
	g.Left(from, to)
	stop := g.Listen(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80})
	stop()
	if len(g.upstreams) != 0 || len(g.programs) != 0 || len(g.listeners) != 0 {
		t.Errorf("left over: %v, %v, %v", g.upstreams, g.programs, g.listeners)
	}
}

func TestGuardKnowsListeners(t *testing.T) {
	g := NewGuard(nil)
	g.Listen(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80})
	g.Listen(&net.TCPAddr{IP: net.IPv4zero, Port: 81})
	g.Listen(&net.UnixAddr{Name: "x"})
	for address, want := range map[string]bool{
		"127.0.0.1:80":          true,
		"[::ffff:127.0.0.1]:80": true,
		"0.0.0.0:80":            true,
		"127.0.0.2:80":          false,
		"127.0.0.1:81":          true,
		"127.0.0.1:82":          false,
		"192.0.2.1:80":          false,
		"192.0.2.1:81":          false, // not an address of this machine
	} {
		assert.Equal(t, want, g.Listens(netip.MustParseAddrPort(address)), address)
	}
}
