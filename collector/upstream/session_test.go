package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

// TestProxySessionsAreOfOneUser connects to a proxy with TLS as several users. Only
// connections of the same user, to a server of the same name, resume a session.
func TestProxySessionsAreOfOneUser(t *testing.T) {
	cert, certPEM := selfsigned.Certificate("proxy.example", "other.example")
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certPEM))
	ln := rawconn.Listen(t)
	defer ln.Close()
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	resumed := make(chan bool, 1)
	go rawconn.Serve(ln, func(nc net.Conn) {
		tc := tls.Server(nc, server)
		if tc.Handshake() == nil {
			resumed <- tc.ConnectionState().DidResume
		}
		tc.Write([]byte("x"))
		io.Copy(io.Discard, tc)
	})
	plain := func(nc net.Conn, _ []byte) net.Conn { return nc }
	d := NewDialer(Config{RootCAs: roots, Wrap: plain})
	resumes := func(proxy string) bool {
		t.Helper()
		u, err := url.Parse(proxy)
		require.NoError(t, err)
		p, err := newProxy(u)
		require.NoError(t, err)
		tc, err := p.secure(t.Context(), rawconn.Open(t, ln.Addr().String()), d.tls, plain)
		require.NoError(t, err)
		defer tc.Close()
		_, err = tc.Read(make([]byte, 1)) // the session's ticket comes before it
		require.NoError(t, err)
		return <-resumed
	}
	assert.False(t, resumes("https://a:1@proxy.example"), "the first connection")
	assert.True(t, resumes("https://a:1@proxy.example"), "the same user")
	assert.False(t, resumes("https://b:1@proxy.example"), "another user")
	assert.False(t, resumes("https://a:2@proxy.example"), "another password")
	assert.False(t, resumes("https://proxy.example"), "no user")
	assert.False(t, resumes("https://a:1@other.example"), "another proxy")
	assert.True(t, resumes("https://b:1@proxy.example"), "the other user again")
}
