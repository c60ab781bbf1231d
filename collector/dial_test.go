package collector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// dnsServer starts a DNS server and returns a DNS that queries it.
func dnsServer(t testing.TB, respond func(query []byte, tcp bool) [][]byte) upstream.DNS {
	t.Helper()
	d, err := upstream.ParseDNS(upstreamtest.ServeDNS(t, respond))
	require.NoError(t, err)
	return d
}

// nameServer answers all questions with the address it holds, and with "no such
// name" if it holds none.
func nameServer(t *testing.T, response *atomic.Pointer[netip.Addr]) upstream.DNS {
	t.Helper()
	return dnsServer(t, func(query []byte, _ bool) [][]byte {
		if ip := response.Load(); ip != nil {
			return [][]byte{upstreamtest.Reply(t, query, dnsmessage.Header{}, false, ip.String())}
		}
		return [][]byte{upstreamtest.Reply(t, query, dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, false)}
	})
}

func TestNamesThatLeadAstray(t *testing.T) {
	var response atomic.Pointer[netip.Addr]
	r := newRig(t, func(c *Config) { c.Policy = Policy{Resolver: nameServer(t, &response)} })
	c := r.client()
	_, port, _ := net.SplitHostPort(r.back.Addr().String())
	ask := func(want classify.Fault) {
		t.Helper()
		c.Send(request(host + ":" + port))
		resp, _ := c.Response()
		assert.Equal(t, string(want), resp.Header.Get("X-Ksyun-Tap-Error"), "X-Ksyun-Tap-Error")
		if !want.Refused() {
			r.begun()
		}
		assert.Equal(t, want, r.observed().Fault)
	}
	ask(classify.FaultDNS)
	for _, a := range []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "169.254.169.254", "224.0.0.1"} {
		ip := netip.MustParseAddr(a)
		response.Store(&ip)
		ask(classify.FaultHostRefused)
	}
	r.untouched()
}

// authority signs certificates for the tests.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key, a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) sign(template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return key, cert
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) server(name string) *tls.Config {
	key, cert := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

// tlsRig is a rig whose upstream uses TLS with cfg.
func tlsRig(t *testing.T, roots *x509.CertPool, change ...func(*Config)) *rig {
	return newRig(t, append(change, func(c *Config) {
		to := strings.TrimPrefix(c.Policy.ConnectTo[0].String(), host+":80=")
		c.Policy.ConnectTo = []upstream.ConnectTo{connectTo(t, host+":443="+to)}
		c.Policy.RootCAs = roots
	})...)
}

func TestTLSUpstream(t *testing.T) {
	ca := newAuthority(t)
	big := strings.Repeat("0123456789abcdef", 20000)
	for name, absolute := range map[string]bool{"by scheme policy": false, "by https target": true} {
		t.Run(name, func(t *testing.T) {
			r := tlsRig(t, ca.pool(), func(c *Config) {
				if !absolute {
					c.Policy.UpstreamScheme = "https"
				}
			})
			req := "POST /?Action=ListMetrics HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 320000\r\n\r\n" + big
			sent := req
			if absolute {
				sent = strings.Replace(req, " /", " https://"+host+"/", 1)
			}
			c := r.client()
			go c.Write([]byte(sent + sent))
			raw := r.upstream()
			tc := tls.Server(raw.Conn, ca.server(host))
			up := raw.Within(tc)
			resp := "HTTP/1.1 200 OK\r\nContent-Length: 320000\r\n\r\n" + big
			for range 2 { // both on one connection
				up.Expect(req)
				go io.WriteString(tc, resp)
				c.Expect(resp)
				r.begun()
				o := r.observed()
				if o.Scheme != "https" || o.Port != 443 || o.Fault != "" || o.Verdict.Status != 200 {
					t.Errorf("%s, %d, fault %q, %+v", o.Scheme, o.Port, o.Fault, o.Verdict)
				}
			}
			if s := tc.ConnectionState(); s.ServerName != host || s.NegotiatedProtocol != "http/1.1" || s.Version < tls.VersionTLS12 {
				t.Errorf("server name %q, protocol %q, version %x", s.ServerName, s.NegotiatedProtocol, s.Version)
			}
			s := r.proxy.Stats()
			assert.EqualValues(t, 1, s.Dials, s)
		})
	}
}

func TestTLSUpstreamEnds(t *testing.T) {
	ca := newAuthority(t)
	for name, tt := range map[string]struct {
		end   func(raw *rawconn.Conn, tc *tls.Conn)
		fault classify.Fault
	}{
		"reset":                        {func(raw *rawconn.Conn, _ *tls.Conn) { raw.Reset() }, classify.FaultReset},
		"closed":                       {func(_ *rawconn.Conn, tc *tls.Conn) { tc.Close() }, classify.FaultClosed},
		"cut off without close_notify": {func(raw *rawconn.Conn, _ *tls.Conn) { raw.Close() }, classify.FaultClosed},
		"until close": {func(_ *rawconn.Conn, tc *tls.Conn) {
			io.WriteString(tc, "HTTP/1.1 200 OK\r\n\r\nall")
			tc.Close()
		}, classify.FaultNone},
	} {
		t.Run(name, func(t *testing.T) {
			r := tlsRig(t, ca.pool(), func(c *Config) { c.Policy.UpstreamScheme = "https" })
			c := r.client()
			c.Send(request(host))
			raw := r.upstream()
			tc := tls.Server(raw.Conn, ca.server(host))
			up := raw.Within(tc)
			up.Expect(request(host))
			tt.end(raw, tc)
			r.begun()
			assert.Equal(t, tt.fault, r.observed().Fault)
			_, err := io.ReadAll(c)
			assert.Equal(t, tt.fault == classify.FaultReset, errors.Is(err, syscall.ECONNRESET), "the client saw %v", err)
		})
	}
}

func TestTLSUpstreamIsVerified(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	old := ca.server(host)
	old.MaxVersion = tls.VersionTLS11
	for name, tt := range map[string]struct {
		server *tls.Config
		advice string
	}{
		"unknown CA":  {other.server(host), "--upstream.ca-file"},
		"other name":  {ca.server("other.api.ksyun.com"), "--upstream.ca-file"},
		"old version": {old, "TLS 1.2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := tlsRig(t, ca.pool(), func(c *Config) { c.Policy.UpstreamScheme = "https" })
			c := r.client()
			c.Send(request(host))
			raw := r.upstream()
			tc := tls.Server(raw.Conn, tt.server)
			if n, err := tc.Read(make([]byte, 1)); err == nil || n > 0 {
				t.Error("the upstream got something")
			}
			resp, body := c.Response()
			assert.Equal(t, http.StatusNotImplemented, resp.StatusCode)
			assert.Contains(t, body, tt.advice)
			r.begun()
			assert.Equal(t, classify.FaultTLS, r.observed().Fault)
		})
	}
}
