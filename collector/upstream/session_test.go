package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

// tlsServer serves TLS, and reports each handshake.
func tlsServer(t *testing.T, server *tls.Config, names ...string) (addr string, roots *x509.CertPool, handshakes <-chan tls.ConnectionState) {
	t.Helper()
	cert, certPEM := selfsigned.Certificate(names...)
	roots = x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certPEM))
	ln := rawconn.Listen(t)
	t.Cleanup(func() { ln.Close() })
	server.Certificates = []tls.Certificate{cert}
	done := make(chan tls.ConnectionState, 1)
	go rawconn.Serve(ln, func(nc net.Conn) {
		tc := tls.Server(nc, server)
		if tc.Handshake() == nil {
			done <- tc.ConnectionState()
		}
		tc.Write([]byte("x"))
		io.Copy(io.Discard, tc)
	})
	return ln.Addr().String(), roots, done
}

func plain(nc net.Conn, _ []byte) net.Conn { return nc }

// TestSessionsAreOfOneHost connects to several hosts in turns. Each connection asks for its
// own host, verifies the certificate for that, and resumes a session with it.
func TestSessionsAreOfOneHost(t *testing.T) {
	addr, roots, handshakes := tlsServer(t, &tls.Config{}, "a.example", "b.example")
	var to []ConnectTo
	for _, host := range []string{"a.example", "b.example", "c.example"} {
		c, err := ParseConnectTo(host + ":443=" + addr)
		require.NoError(t, err)
		to = append(to, c)
	}
	d := NewDialer(Config{RootCAs: roots, ConnectTo: to, Wrap: plain})
	for i, host := range []hostname.Name{"a.example", "b.example", "a.example", "b.example"} {
		tc, err := d.Dial(t.Context(), &Target{Host: host, Port: 443, TLS: true})
		require.NoError(t, err)
		_, err = tc.Read(make([]byte, 1)) // the session's ticket comes before it
		require.NoError(t, err)
		state := <-handshakes
		assert.Equal(t, string(host), state.ServerName)
		assert.Equal(t, i >= 2, state.DidResume, "connection %d", i)
		tc.Close()
	}
	_, err := d.Dial(t.Context(), &Target{Host: "c.example", Port: 443, TLS: true})
	assert.ErrorContains(t, err, "c.example", "a host that the certificate is not for")

	a := d.tlsConfig("a.example")
	assert.Same(t, a, d.tlsConfig("a.example"), "connections to the same host share a configuration")
	d.tlsConfig("b.example")
	assert.Equal(t, "a.example", a.ServerName, "a configuration in use is changed")
}

func TestOldTLSIsRefused(t *testing.T) {
	addr, roots, _ := tlsServer(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "a.example")
	to, err := ParseConnectTo("a.example:443=" + addr)
	require.NoError(t, err)
	d := NewDialer(Config{RootCAs: roots, ConnectTo: []ConnectTo{to}, Wrap: plain})
	_, err = d.Dial(t.Context(), &Target{Host: "a.example", Port: 443, TLS: true})
	failed, ok := errors.AsType[*Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, classify.FaultTLS, failed.Fault)
}

// TestProxySessionsAreOfOneUser connects to a proxy with TLS as several users. Only
// connections of the same user, to a server of the same name, resume a session.
func TestProxySessionsAreOfOneUser(t *testing.T) {
	addr, roots, handshakes := tlsServer(t, &tls.Config{}, "proxy.example", "other.example")
	d := NewDialer(Config{RootCAs: roots, Wrap: plain})
	resumes := func(proxy string) bool {
		t.Helper()
		u, err := url.Parse(proxy)
		require.NoError(t, err)
		p, err := newProxy(u)
		require.NoError(t, err)
		tc, err := p.secure(t.Context(), rawconn.Open(t, addr), d.tls, plain)
		require.NoError(t, err)
		defer tc.Close()
		_, err = tc.Read(make([]byte, 1)) // the session's ticket comes before it
		require.NoError(t, err)
		return (<-handshakes).DidResume
	}
	assert.False(t, resumes("https://a:1@proxy.example"), "the first connection")
	assert.True(t, resumes("https://a:1@proxy.example"), "the same user")
	assert.False(t, resumes("https://b:1@proxy.example"), "another user")
	assert.False(t, resumes("https://a:2@proxy.example"), "another password")
	assert.False(t, resumes("https://proxy.example"), "no user")
	assert.False(t, resumes("https://a:1@other.example"), "another proxy")
	assert.True(t, resumes("https://b:1@proxy.example"), "the other user again")
}
