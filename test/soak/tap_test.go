package soak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

const (
	host        = "monitor.api.ksyun.com"
	downHost    = "down.api.ksyun.com" // its server is down
	connect     = "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n"
	established = "HTTP/1.1 200 Connection Established\r\n\r\n"
	patience    = 10 * time.Second
)

// tap is a collector with interception, between programs and an upstream that
// listens with and without TLS.
type tap struct {
	proxy       *collector.Proxy
	policy      collector.Policy
	address     string
	roots       *x509.CertPool // what programs trust
	plain, tls  net.Listener   // the upstream's
	certificate tls.Certificate
}

func newTap(t *testing.T, sink classify.Sink) *tap {
	t.Helper()
	authority, err := ca.Open(ca.Config{Permitted: []string{"*.api.ksyun.com"}, Roots: func() ([]byte, error) { return nil, nil }})
	require.NoError(t, err)
	certificate, pem := selfsigned.Certificate(host)
	s := &tap{plain: rawconn.Listen(t), tls: rawconn.Listen(t), roots: poolOf(authority.PEM()), certificate: certificate}
	s.policy = collector.Policy{
		ConnectTo: []upstream.ConnectTo{
			connectTo(t, host+":80="+s.plain.Addr().String()), connectTo(t, host+":443="+s.tls.Addr().String()), connectTo(t, downHost+":80="+vacant(t)),
		},
		RootCAs: poolOf(pem),
	}
	cfg := collector.Config{Classifier: classify.New(classify.DefaultCatalog()), Sink: sink, Policy: s.policy, Intercept: authority, Timeouts: collector.DefaultTimeouts()}
	cfg.Timeouts.Linger = time.Second
	s.proxy, err = collector.New(cfg)
	require.NoError(t, err)
	ln := rawconn.Listen(t)
	s.address = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.proxy.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		s.proxy.Shutdown(ctx)
		assert.NoError(t, <-served, "Serve")
	})
	return s
}

func connectTo(t *testing.T, s string) upstream.ConnectTo {
	t.Helper()
	c, err := upstream.ParseConnectTo(s)
	require.NoError(t, err)
	return c
}

func poolOf(pem []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}
