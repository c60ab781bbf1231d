package collector

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestProgramThatBringsItsOwnTrust has a program that trusts only the CA of the real
// certificate. After its first refusal it is tunnelled, programs with another User-Agent
// are still observed, and the tap reports it.
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
	for range enoughAborts {
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

// TestProgramsThatShareAnIdentity has two programs with the same address and
// User-Agent on connections in turn: one trusts only the tap's CA, the other only that of
// the real certificate. All connections of the first are intercepted. Of the second,
// those that follow a refused one are tunnelled.
func TestProgramsThatShareAnIdentity(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherPass })
	shake := func(trusted *x509.CertPool) (tc *tls.Conn, done chan error) {
		c := r.client()
		c.Send("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\nUser-Agent: shared/1\r\n\r\n")
		c.Expect(established)
		tc, done = tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: trusted}), make(chan error, 1)
		go func() { done <- tc.Handshake() }()
		return tc, done
	}
	observed := func() {
		t.Helper()
		tc, done := shake(poolOf(r.ca.PEM()))
		require.NoError(t, <-done, "of the program that trusts the tap")
		c := rawconn.New(t, tc)
		c.Send(request(host))
		up := r.tlsUpstream()
		up.Expect(request(host))
		up.Deliver(okResponse, c)
		r.begun()
		r.observed()
		c.Close()
		up.Close()
	}
	refused := func() {
		t.Helper()
		_, done := shake(r.upCA.pool())
		require.Error(t, <-done, "of the program that does not trust the tap")
		e := r.failed()
		assert.Equal(t, HandshakeUntrusted, e.Reason, e)
	}
	tunnelled := func() {
		t.Helper()
		tc, done := shake(r.upCA.pool())
		up := r.upstream()
		require.NoError(t, tls.Server(up.Conn, r.upCA.server(host)).Handshake())
		require.NoError(t, <-done, "of the program that does not trust the tap")
		tc.Close()
		up.Close()
	}
	observed()
	for range 3 {
		refused()
		tunnelled()
		observed()
		observed()
	}
	assert.EqualValues(t, 3, r.proxy.Stats().TappedTunnels, "tunnels")
}

// TestDistrusts has events of programs in turn, at times of the test's choice.
func TestDistrusts(t *testing.T) {
	type event struct {
		what string        // "untrusted", "aborted", "timeout", "accepted", "reload", or a connection: "intercepted", "tunnelled"
		at   time.Duration // from the beginning; 0 is when the event before was
	}
	const untrusted, aborted, accepted, intercepted, tunnelled = "untrusted", "aborted", "accepted", "intercepted", "tunnelled"
	for name, events := range map[string][]event{
		"nothing is known":         {{what: intercepted}},
		"a refusal":                {{what: untrusted}, {what: tunnelled}, {what: tunnelled}, {what: tunnelled, at: firstDistrust - 1}},
		"a reload":                 {{what: untrusted}, {what: tunnelled}, {what: "reload"}, {what: intercepted}},
		"one end without an alert": {{what: aborted}, {what: intercepted}},
		"two in a row":             {{what: aborted}, {what: aborted}, {what: tunnelled}, {what: tunnelled}},
		"two, not in a row":        {{what: aborted}, {what: accepted}, {what: aborted}, {what: intercepted}},
		"a timeout between":        {{what: aborted}, {what: "timeout"}, {what: aborted}, {what: tunnelled}},
		"a timeout":                {{what: "timeout"}, {what: "timeout"}, {what: intercepted}},

		"its trust store was repaired": {
			{what: untrusted},
			{what: tunnelled},
			{what: intercepted, at: firstDistrust},
			{what: accepted},
			{what: intercepted},
			{what: intercepted, at: 2 * firstDistrust},
		},
		"it still refuses": {
			{what: untrusted},
			{what: intercepted, at: firstDistrust},
			{what: untrusted},
			{what: tunnelled, at: 3*firstDistrust - 1},
			{what: intercepted, at: 3 * firstDistrust},
			{what: untrusted},
			{what: tunnelled, at: 7*firstDistrust - 1},
			{what: intercepted, at: 7 * firstDistrust},
			{what: untrusted},
			{what: tunnelled, at: 7*firstDistrust + longestDistrust - 1},
			{what: intercepted, at: 7*firstDistrust + longestDistrust},
		},
		"refusals of connections opened together count once": {
			{what: untrusted},
			{what: untrusted},
			{what: untrusted, at: firstDistrust / 2},
			{what: tunnelled, at: firstDistrust - 1},
			{what: intercepted, at: firstDistrust},
		},

		"another one trusts": {
			{what: accepted},
			{what: untrusted},
			{what: tunnelled},
			{what: intercepted},
			{what: accepted},
			{what: untrusted},
			{what: tunnelled},
			{what: intercepted},
		},
		"another one trusts, found while all are tunnelled": {
			{what: untrusted}, {what: tunnelled}, {what: accepted}, {what: intercepted}, {what: untrusted}, {what: tunnelled}, {what: intercepted},
		},
		"another one trusts, and it refuses by closing": {
			{what: accepted}, {what: aborted}, {what: intercepted}, {what: aborted}, {what: tunnelled}, {what: intercepted},
		},
		"another one trusts, and it refuses several": {
			{what: accepted}, {what: untrusted}, {what: untrusted}, {what: tunnelled}, {what: tunnelled}, {what: intercepted},
		},
		"a retry may take some time": {{what: accepted}, {what: untrusted}, {what: tunnelled, at: retryTime - 1}},
		"but not too long": {
			{what: accepted}, {what: untrusted}, {what: untrusted}, {what: intercepted, at: retryTime}, {what: untrusted}, {what: tunnelled}, {what: intercepted},
		},
		"the one that trusts was not seen for long": {
			{what: accepted}, {what: untrusted, at: trustTime}, {what: tunnelled}, {what: tunnelled},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var d distrusts
			id := identity{netip.MustParseAddr("127.0.0.1"), host, "x/1"}
			start := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
			now := start
			for i, e := range events {
				if e.at > 0 {
					now = start.Add(e.at)
				}
				switch e.what {
				case untrusted:
					d.failed(id, HandshakeUntrusted, now)
				case aborted:
					d.failed(id, HandshakeAborted, now)
				case "timeout":
					d.failed(id, HandshakeTimeout, now)
				case accepted:
					d.accepted(id, now)
				case "reload":
					d.clear()
				default:
					require.Equal(t, e.what == tunnelled, d.tunnels(id, now), "event %d: tunnelled", i)
				}
				for _, other := range []identity{
					{id.client, id.host, "x/2"}, {id.client, "other.api.ksyun.com", id.agent}, {netip.MustParseAddr("127.0.0.2"), id.host, id.agent},
				} {
					require.False(t, d.tunnels(other, now), "event %d: %v is tunnelled, too", i, other)
				}
			}
		})
	}
}

func TestRetriesAreBounded(t *testing.T) {
	var d distrusts
	id, now := identity{host: host}, time.Now()
	d.accepted(id, now)
	for range 2 * maxRetries {
		d.failed(id, HandshakeUntrusted, now)
	}
	n := 0
	for d.tunnels(id, now) {
		n++
	}
	assert.Equal(t, maxRetries, n, "are tunnelled")
}

// TestDistrustsAreBounded checks that one that is seen again and again is remembered,
// while others beyond the bound are forgotten, the oldest first.
func TestDistrustsAreBounded(t *testing.T) {
	var d distrusts
	start := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	of := func(i int) identity { return identity{host: host, agent: strconv.Itoa(i)} }
	kept := identity{host: host, agent: "kept"}
	d.failed(kept, HandshakeUntrusted, start)
	n := 2 * maxDistrusts
	for i := range n {
		now := start.Add(time.Duration(i) * time.Millisecond)
		d.failed(of(i), HandshakeUntrusted, now)
		require.True(t, d.tunnels(kept, now), "after %d others", i)
	}
	assert.Len(t, d.all, maxDistrusts, "are remembered")
	now := start.Add(time.Duration(n) * time.Millisecond)
	for i := range n {
		if got, want := d.tunnels(of(i), now), i > n-maxDistrusts; got != want {
			t.Errorf("%d of %d: tunnelled: %t, want %t", i, n, got, want)
		}
	}
	agent := bytes.Repeat([]byte("x"), 64<<10)
	assert.Len(t, newIdentity(netip.Addr{}, host, agent).agent, maxAgent, "bytes of a User-Agent are remembered")
}
