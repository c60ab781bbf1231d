package upstream

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestForbiddenAddresses(t *testing.T) {
	for a := range strings.FieldsSeq(`127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 0.0.0.0 0.1.2.3 :: 169.254.169.254
		169.254.0.1 fe80::1 fe80::1%eth0 224.0.0.1 239.255.255.255 255.255.255.255 240.0.0.1 ff02::1 ff05::1
		64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 100.100.100.200 fd00:ec2::254`) {
		assert.True(t, isForbidden(netip.MustParseAddr(a).Unmap()), "%s is allowed", a)
	}
	for a := range strings.FieldsSeq("10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 8.8.8.8 2001:db8::1 fd00::1 64:ff9b::808:808") {
		assert.False(t, isForbidden(netip.MustParseAddr(a)), "%s is forbidden", a)
	}
}

// TestAnyAddress lifts the restriction, except for our own listeners.
func TestAnyAddress(t *testing.T) {
	g := NewGuard(nil)
	g.Listen(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:18181")))
	d := NewDialer(Config{AnyAddress: true, Guard: g})
	for _, a := range []string{"169.254.170.2:80", "169.254.169.254:80", "127.0.1.1:8080", "[::1]:9091"} {
		assert.NoError(t, d.check(a, "x", false), a)
	}
	assert.Error(t, d.check("127.0.0.1:18181", "x", true), "a connection to our own listener is allowed")
}
