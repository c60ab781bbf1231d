package collector

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// socksRig is a rig whose upstream plays a SOCKS proxy.
func socksRig(t *testing.T, scheme, user string, change ...func(*Config)) *interceptRig {
	t.Helper()
	r := newInterceptRig(t, change...)
	p := r.proxy.rules.Load().policy
	p.ConnectTo = nil
	p.Resolver = dnsServer(t, upstreamtest.Addresses(t, "192.0.2.7"))
	p.Proxy = func(string, string, uint16) (*url.URL, error) {
		return url.Parse(scheme + "://" + user + r.back.Addr().String())
	}
	r.reload(p)
	return r
}

// socks reads what a client of SOCKS 5 (RFC 1928, 1929) asks for, and answers.
func socks(t *testing.T, p *rawconn.Conn, reply byte) (user, address string) {
	t.Helper()
	read := func(n int) []byte {
		b := make([]byte, n)
		_, err := io.ReadFull(p, b)
		require.NoError(t, err, "SOCKS")
		return b
	}
	head := read(2)
	methods := read(int(head[1]))
	require.EqualValues(t, 5, head[0], "SOCKS version")
	if strings.ContainsRune(string(methods), 2) {
		p.Send("\x05\x02")
		user = string(read(int(read(2)[1])))
		user += ":" + string(read(int(read(1)[0])))
		p.Send("\x01\x00")
	} else {
		p.Send("\x05\x00")
	}
	ask := read(4)
	var host string
	switch ask[3] {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = netip.AddrFrom16([16]byte(read(16))).String()
	}
	address = net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(read(2)))))
	p.Send("\x05" + string([]byte{reply}) + "\x00\x01\x7f\x00\x00\x01\x04\x38")
	return user, address
}

func TestSOCKS(t *testing.T) {
	for _, tt := range []struct{ scheme, user, wantUser, name string }{
		{"socks5h", "", "", host},
		{"socks5h", "name:s%40cret@", "name:s@cret", host},
		{"socks5", "", "", "192.0.2.7"},
	} {
		// https
		r := socksRig(t, tt.scheme, tt.user)
		c := r.inTLS()
		c.Send(request(host))
		up := r.upstream()
		if user, to := socks(t, up, 0); user != tt.wantUser || to != tt.name+":443" {
			t.Errorf("%s: user %q to %s", tt.scheme, user, to)
		}
		up = rawconn.New(t, tls.Server(up.Conn, r.upCA.server(host)))
		up.Expect(request(host))
		up.Deliver(okResponse, c)

		// http, in origin form
		r = socksRig(t, tt.scheme, tt.user)
		c = r.client()
		c.Send(viaProxy(request(host)))
		up = r.upstream()
		_, to := socks(t, up, 0)
		assert.Equal(t, tt.name+":80", to, "%s: http", tt.scheme)
		up.Expect(request(host))
		up.Deliver(okResponse, c)

		// a tunnel
		r = socksRig(t, tt.scheme, tt.user, func(c *Config) { c.Policy.OtherHosts = OtherForward })
		if tt.scheme == "socks5" {
			continue // the other host's name is for the system to resolve
		}
		c = r.client()
		c.Send(connectTo443("other.example") + "hello")
		up = r.upstream()
		if _, to := socks(t, up, 0); to != "other.example:443" {
			t.Errorf("%s: tunnel to %s", tt.scheme, to)
		}
		c.Expect(established)
		up.Expect("hello")
		c.Close()
		up.Close()
	}
}

func TestSOCKSThatRefuses(t *testing.T) {
	r := socksRig(t, "socks5h", "name:s%40cret@")
	c := r.client()
	c.Send(viaProxy(request(host)))
	socks(t, r.upstream(), 5) // connection refused
	resp, body := c.Response()
	if resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultUnreachable) || !strings.Contains(body, r.back.Addr().String()) || strings.Contains(body, "cret") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestSOCKSLeadsNowhereForbidden resolves a name to a forbidden address, to which the
// proxy would connect.
func TestSOCKSLeadsNowhereForbidden(t *testing.T) {
	r := socksRig(t, "socks5", "")
	p := r.proxy.rules.Load().policy
	p.Resolver = dnsServer(t, upstreamtest.Addresses(t, "169.254.169.254"))
	r.reload(p)
	c := r.client()
	c.Send(viaProxy(request(host)))
	if resp, body := c.Response(); resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultHostRefused) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
