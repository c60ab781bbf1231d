package collector

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
)

// TestPass checks that a program reaches through its own listener what it could reach
// directly: any port and any address, except the tap itself.
func TestPass(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Policy = Policy{OtherHosts: OtherPass} })
	to := r.back.Addr().String() // loopback, another port than 80 and 443
	c := r.client()
	c.Send("PUT http://" + to + "/metrics/job/x HTTP/1.1\r\nHost: " + to + "\r\nContent-Length: 2\r\n\r\nhi")
	up := r.upstream()
	up.Expect("PUT /metrics/job/x HTTP/1.1\r\nHost: " + to + "\r\nContent-Length: 2\r\n\r\nhi")
	up.Deliver(okResponse, c)

	c = r.client()
	c.Send("CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n\r\n")
	c.Expect(established)
	up = r.upstream()
	c.Deliver("any \x00 bytes", up)
	c.Close()
	up.Close()

	c = r.client()
	c.Send("GET http://" + r.addr + "/ HTTP/1.1\r\nHost: " + r.addr + "\r\n\r\n")
	if resp, body := c.Response(); resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultLoop) {
		t.Errorf("to the tap itself: %d %s", resp.StatusCode, body)
	}
}

// TestResolverIsForTappedHosts has a DNS server that only knows the API. Other hosts
// are resolved as the program would resolve them.
func TestResolverIsForTappedHosts(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Policy = Policy{OtherHosts: OtherPass, Resolver: dnsServer(t, upstreamtest.Addresses(t, "192.0.2.1"))}
	})
	_, port := splitAddress(t, r.back.Addr().String())
	to := "localhost:" + port
	c := r.client()
	c.Send("GET http://" + to + "/ HTTP/1.1\r\nHost: " + to + "\r\n\r\n")
	up := r.upstream()
	up.Expect("GET / HTTP/1.1\r\nHost: " + to + "\r\n\r\n")
	up.Deliver(okResponse, c)
}

func splitAddress(t *testing.T, address string) (host, port string) {
	t.Helper()
	ap, err := netip.ParseAddrPort(address)
	require.NoError(t, err)
	return ap.Addr().String(), address[len(ap.Addr().String())+1:]
}
