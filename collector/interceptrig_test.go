package collector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// interceptor is a CA for the API's hosts, in memory.
func interceptor(t testing.TB) *ca.CA {
	t.Helper()
	c, err := ca.Open(ca.Config{
		Permitted: []string{"*.api.ksyun.com"},
		Roots:     func() ([]byte, error) { return nil, nil },
	})
	require.NoError(t, err)
	return c
}

func poolOf(pem []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// interceptRig is a rig that ends the TLS of CONNECTs to its host, before an
// upstream with TLS.
type interceptRig struct {
	*rig
	ca       *ca.CA
	upCA     *authority
	failures chan HandshakeError
}

func newInterceptRig(t *testing.T, change ...func(*Config)) *interceptRig {
	t.Helper()
	r := &interceptRig{ca: interceptor(t), upCA: newAuthority(t), failures: make(chan HandshakeError, 16)}
	r.rig = tlsRig(t, r.upCA.pool(), append([]func(*Config){func(c *Config) {
		c.Intercept = r.ca
		c.OnHandshakeError = func(e HandshakeError) { r.failures <- e }
	}}, change...)...)
	return r
}

func connectTo443(host string) string {
	return "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n"
}

const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// tlsClient returns a program that begins with TLS.
func (r *interceptRig) tlsClient() *rawconn.Conn {
	r.t.Helper()
	nc, err := tls.Dial("tcp", r.addrTLS, &tls.Config{ServerName: host, RootCAs: poolOf(r.ca.PEM())})
	require.NoError(r.t, err)
	return rawconn.New(r.t, nc)
}

// inTLS returns a client whose requests go through TLS within a CONNECT.
func (r *interceptRig) inTLS() *rawconn.Conn {
	r.t.Helper()
	c := r.client()
	c.Send(connectTo443(host))
	c.Expect(established)
	tc := tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: poolOf(r.ca.PEM()), NextProtos: []string{"h2", "http/1.1"}})
	require.NoError(r.t, tc.Handshake(), "TLS with the tap")
	if s := tc.ConnectionState(); s.NegotiatedProtocol != "http/1.1" {
		r.t.Fatalf("protocol %q", s.NegotiatedProtocol)
	}
	return rawconn.New(r.t, tc)
}

// tlsUpstream is upstream, above its TLS.
func (r *interceptRig) tlsUpstream() *rawconn.Conn {
	r.t.Helper()
	return rawconn.New(r.t, tls.Server(r.upstream().Conn, r.upCA.server(host)))
}

// failed returns the next failed handshake.
func (r *interceptRig) failed() HandshakeError {
	r.t.Helper()
	return rawconn.Receive(r.t, r.failures, "no failed handshake was reported")
}

// shakeThen completes a handshake like a client that accepts every certificate.
func shakeThen(nc net.Conn, end func(*tls.Conn) error) {
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: host})
	tc.Handshake()
	end(tc)
}

// brokenCA can make no certificate.
type brokenCA struct{}

func (brokenCA) Permits(string) bool { return true }

func (brokenCA) TLSConfig(string) (*tls.Config, error) { return nil, errors.New("disk full") }

// leadAll makes only these hosts resolve to the rig's upstream.
func (r *interceptRig) leadAll(from ...string) {
	r.t.Helper()
	p := r.proxy.rules.Load().policy
	p.ConnectTo = nil
	for _, f := range from {
		p.ConnectTo = append(p.ConnectTo, r.leadTo(f))
	}
	require.NoError(r.t, r.proxy.Reload(p, classify.New(classify.DefaultCatalog())))
}

// goClient is net/http's client, with the tap as its proxy.
func (r *interceptRig) goClient() *http.Client {
	proxy := &url.URL{Scheme: "http", Host: r.addr}
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyURL(proxy),
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: poolOf(r.ca.PEM())},
	}}
}

// serve answers all requests of the upstream's connections by h.
func (r *interceptRig) serve(h http.HandlerFunc) {
	cfg := r.upCA.server("*.api.ksyun.com")
	cfg.NextProtos = nil
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(tls.NewListener(r.back, cfg)) })
	r.t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
}
