package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// serve starts a DNS server and returns a DNS that queries it.
func serve(t testing.TB, respond func(query []byte, tcp bool) [][]byte) DNS {
	t.Helper()
	d, err := ParseDNS(upstreamtest.ServeDNS(t, respond))
	require.NoError(t, err)
	return d
}

func TestDNS(t *testing.T) {
	ok := dnsmessage.Header{}
	one := func(f func(q []byte) []byte) func([]byte, bool) [][]byte {
		return func(q []byte, _ bool) [][]byte { return [][]byte{f(q)} }
	}
	tests := map[string]struct {
		host     string
		respond  func(query []byte, tcp bool) [][]byte
		want     string
		notFound bool
	}{
		"IPv4":       {"h.example", one(func(q []byte) []byte { return upstreamtest.Reply(t, q, ok, false, "192.0.2.1", "192.0.2.2") }), "[192.0.2.1 192.0.2.2]", false},
		"IPv6":       {"h.example", one(func(q []byte) []byte { return upstreamtest.Reply(t, q, ok, false, "2001:db8::1") }), "[2001:db8::1]", false},
		"IPv4 first": {"h.example.", one(func(q []byte) []byte { return upstreamtest.Reply(t, q, ok, false, "2001:db8::1", "192.0.2.1") }), "[192.0.2.1 2001:db8::1]", false},
		"by a CNAME": {"h.example", one(func(q []byte) []byte { return upstreamtest.Reply(t, q, ok, true, "192.0.2.1") }), "[192.0.2.1]", false},
		"hosts file": {"localhost", one(func(q []byte) []byte { return upstreamtest.Reply(t, q, ok, false, "192.0.2.7") }), "[192.0.2.7]", false},
		"no such host": {"h.example", one(func(q []byte) []byte {
			return upstreamtest.Reply(t, q, dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, false)
		}), "", true},
		"no addresses": {"h.example", one(func(q []byte) []byte { return upstreamtest.Reply(t, q, ok, true) }), "", true},
		"refused": {"h.example", one(func(q []byte) []byte {
			return upstreamtest.Reply(t, q, dnsmessage.Header{RCode: dnsmessage.RCodeRefused}, false)
		}), "", false},
		"garbage":      {"h.example", one(func(q []byte) []byte { return q[:5] }), "", false},
		"the question": {"h.example", one(func(q []byte) []byte { return q }), "", false},
		"no host name": {"a..b", nil, "", false},
		"forged first": {"h.example", func(q []byte, _ bool) [][]byte {
			return [][]byte{{}, {0}, upstreamtest.Reply(t, q, dnsmessage.Header{ID: 1}, false, "192.0.2.66"), upstreamtest.Reply(t, q, ok, false, "192.0.2.1")}
		}, "[192.0.2.1]", false},
		"truncated": {"h.example", func(q []byte, tcp bool) [][]byte {
			return [][]byte{upstreamtest.Reply(t, q, dnsmessage.Header{Truncated: !tcp}, false, "192.0.2.1")}
		}, "[192.0.2.1]", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			addrs, err := serve(t, tt.respond).LookupNetIP(t.Context(), "ip", tt.host)
			if tt.want != "" {
				if err != nil || fmt.Sprint(addrs) != tt.want {
					t.Errorf("%v, %v; want %s", addrs, err, tt.want)
				}
				return
			}
			if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.IsNotFound != tt.notFound || dns.Name != tt.host {
				t.Errorf("%v, %#v", addrs, err)
			}
		})
	}
}

func TestDNSAsksAgain(t *testing.T) {
	var asked atomic.Int32
	d := serve(t, func(q []byte, _ bool) [][]byte {
		if asked.Add(1) <= 2 {
			return [][]byte{upstreamtest.Reply(t, q, dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}, false)}
		}
		return [][]byte{upstreamtest.Reply(t, q, dnsmessage.Header{}, false, "192.0.2.1")}
	})
	if addrs, err := d.LookupNetIP(t.Context(), "ip", "h.example"); err != nil || len(addrs) != 1 {
		t.Errorf("%v, %v", addrs, err)
	}
}

func TestDNSEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 8)
	d := serve(t, func([]byte, bool) [][]byte {
		asked <- struct{}{}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	addrs, err := d.LookupNetIP(ctx, "ip", "h.example")
	assert.Error(t, err, addrs)
}

func TestParseDNS(t *testing.T) {
	for s, want := range map[string]string{
		"10.96.0.10": "10.96.0.10:53", "10.96.0.10:5353": "10.96.0.10:5353", "fd00::a": "[fd00::a]:53", "[fd00::a]:54": "[fd00::a]:54",
		"": "", "dns.example": "", "10.96.0.10:0": "", "10.96.0.10:x": "", "[fd00::a]": "", "10.96.0.10:53 ": "",
	} {
		d, err := ParseDNS(s)
		if (err == nil) != (want != "") || err == nil && d.String() != want {
			t.Errorf("%q: %v, %v; want %q", s, d, err, want)
		}
	}
}

func FuzzDNSResponse(f *testing.F) {
	name := dnsmessage.MustNewName("h.example.")
	query, err := dnsQuestion(7, name, dnsmessage.TypeA)
	require.NoError(f, err)
	f.Add(upstreamtest.Reply(f, query, dnsmessage.Header{}, true, "192.0.2.1", "192.0.2.2"))
	f.Add(upstreamtest.Reply(f, query, dnsmessage.Header{Truncated: true}, false))
	f.Add(upstreamtest.Reply(f, query, dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, false))
	f.Add(query)
	f.Fuzz(func(t *testing.T, response []byte) {
		addrs, _, err := dnsAddresses(response, 7, name, dnsmessage.TypeA)
		if err != nil && len(addrs) > 0 {
			t.Error("addresses of a response that cannot be read")
		}
		for _, a := range addrs {
			assert.True(t, a.Is4(), "%v is no IPv4 address", a)
		}
		if len(response) >= 2 && binary.BigEndian.Uint16(response) != 7 && err == nil {
			t.Error("a response to another question was taken")
		}
	})
}

// TestDialTriesAllAddresses has the first address refuse connections.
func TestDialTriesAllAddresses(t *testing.T) {
	ln := rawconn.Listen(t)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	d := serve(t, upstreamtest.Addresses(t, "127.0.0.3", "127.0.0.1"))
	nc, err := dialBy(t.Context(), &net.Dialer{Timeout: time.Minute}, d, net.JoinHostPort("h.example", port))
	require.NoError(t, err)
	defer nc.Close()
	assert.Equal(t, ln.Addr().String(), nc.RemoteAddr().String(), "connected")
}
