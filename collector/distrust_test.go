package collector

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestProgramThatBringsItsOwnTrust has a program that trusts only the CA of the real
// certificate. After its first refusal it is tunnelled, other programs are still
// observed, and the tap reports it.
func TestProgramThatBringsItsOwnTrust(t *testing.T) {
	unseen := make(chan Unobserved, 1)
	r := newInterceptRig(t, func(c *Config) {
		c.Policy.OtherHosts = OtherPass
		c.OnUnobserved = func(u Unobserved) { unseen <- u }
	})
	connect := "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\nUser-Agent: own-trust/1\r\n\r\n"
	own := func() (*tls.Conn, *rawconn.Conn) {
		c := r.client()
		c.Send(connect)
		c.Expect(established)
		return tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: r.upCA.pool()}), c
	}
	tc, _ := own()
	require.Error(t, tc.Handshake(), "it trusts the tap")
	e := r.failed()
	assert.Equal(t, HandshakeUntrusted, e.Reason, e)

	tc, _ = own()
	up := r.upstream()
	done := make(chan error, 1)
	go func() { done <- tc.Handshake() }()
	server := tls.Server(up.Conn, r.upCA.server(host))
	require.NoError(t, server.Handshake())
	require.NoError(t, <-done, "after its first refusal")
	assert.Equal(t, Unobserved{host, 443, true}, <-unseen)
	up.Close()

	c := r.inTLS() // another program
	c.Send(request(host))
	other := rawconn.New(t, tls.Server(r.upstream().Conn, r.upCA.server(host)))
	other.Expect(request(host))
	other.Deliver(okResponse, c)
	r.begun()
	r.observed()

	r.reload(r.proxy.rules.Load().policy)
	tc, _ = own()
	assert.Error(t, tc.Handshake(), "a reload did not forget it")
	r.failed()
}

// TestProgramThatChecksPinsAfterTheHandshake has a program that completes the
// handshake, then compares the certificate with its pins, and closes. From the
// second such end in a row, its connections are tunnelled unobserved.
func TestProgramThatChecksPinsAfterTheHandshake(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherPass })
	pinned := r.upCA.server(host).Certificates[0].Certificate[0]
	connect := func() (*tls.Conn, *rawconn.Conn) {
		c := r.client()
		c.Send("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\nUser-Agent: pins/1\r\n\r\n")
		c.Expect(established)
		return tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: poolOf(r.ca.PEM())}), c
	}
	for range enoughRefusals {
		tc, _ := connect()
		require.NoError(t, tc.Handshake())
		if bytes.Equal(tc.ConnectionState().PeerCertificates[0].Raw, pinned) {
			t.Fatal("it sees the server's own certificate")
		}
		tc.Close()
		e := r.failed()
		assert.Equal(t, HandshakeAborted, e.Reason, e)
	}
	_, c := connect()
	tc := tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: r.upCA.pool()})
	done := make(chan error, 1)
	go func() { done <- tc.Handshake() }()
	up := r.upstream()
	server := tls.Server(up.Conn, r.upCA.server(host))
	require.NoError(t, server.Handshake())
	require.NoError(t, <-done, "the third time")
	up.Close()
}

// TestDistrustIsRefusedByPolicy has such a program while other hosts are refused: it
// stays refused, because tunnels are not allowed.
func TestDistrustIsRefusedByPolicy(t *testing.T) {
	r := newInterceptRig(t)
	client := r.goClient()
	defer client.CloseIdleConnections()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = x509.NewCertPool()
	for range 2 {
		resp, err := client.Get("https://" + host + "/")
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			t.Error("it was passed on")
		}
		r.failed()
	}
	assert.Zero(t, r.proxy.Stats().TappedTunnels, "tunnels")
}

func TestDistrusts(t *testing.T) {
	var d distrusts
	f := func(want bool, what string) {
		t.Helper()
		if d.has(host, "x/1") != want {
			t.Errorf("after %s: passed on unseen: %t", what, !want)
		}
	}
	f(false, "nothing")
	d.failed(host, "x/1", HandshakeAborted)
	f(false, "one end without a word")
	d.accepted(host, "x/1")
	d.failed(host, "x/1", HandshakeAborted)
	f(false, "another, after an accepted one")
	d.failed(host, "x/1", HandshakeTimeout)
	d.failed(host, "x/1", HandshakeAborted)
	f(true, "two in a row")
	d.accepted(host, "x/1") // of another connection that was under way
	f(true, "two in a row")
	d.clear()
	f(false, "a reload")
	d.failed(host, "x/1", HandshakeUntrusted)
	f(true, "a refusal")
	if d.has(host, "x/2") || d.has("other.api.ksyun.com", "x/1") {
		t.Error("others are passed on unseen, too")
	}
}

func TestDistrustsAreBounded(t *testing.T) {
	var d distrusts
	for i := range 2 * maxDistrusts {
		d.failed(host, string(rune(i)), HandshakeUntrusted)
	}
	assert.Len(t, d.all, maxDistrusts, "are remembered")
	d.clear()
	agent := strings.Repeat("x", 64<<10)
	d.failed(host, agent, HandshakeUntrusted)
	for key := range d.all {
		if len(key.agent) != maxAgent || !d.has(host, agent) {
			t.Errorf("%d bytes of a User-Agent are remembered", len(key.agent))
		}
	}
}
