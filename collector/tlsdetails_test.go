package collector

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestTLSUpstreamResumesSessions has a second program's connection resume the
// session of the first, and none that other roots verified.
func TestTLSUpstreamResumesSessions(t *testing.T) {
	ca := newAuthority(t)
	cfg := ca.server(host)
	r := tlsRig(t, ca.pool(), func(c *Config) { c.Policy.UpstreamScheme = "https" })
	resumes := func() bool {
		c := r.client()
		c.Send(request(host))
		tc := tls.Server(r.upstream().Conn, cfg)
		_, err := io.ReadFull(tc, make([]byte, len(request(host))))
		require.NoError(t, err)
		assert.Equal(t, tls.X25519MLKEM768, tc.ConnectionState().CurveID, "key exchange")
		io.WriteString(tc, okResponse)
		c.Expect(okResponse)
		r.begun()
		r.observed()
		return tc.ConnectionState().DidResume
	}
	assert.False(t, resumes(), "the first connection resumes a session")
	assert.True(t, resumes(), "the second connection does not resume the session")
	rules := r.proxy.rules.Load()
	require.NoError(t, r.proxy.Reload(rules.policy, rules.classifier))
	assert.False(t, resumes(), "a session outlives the rules that it was verified by")
}

// TestProgramsGetX25519MLKEM768 connects to the tap like current TLS clients.
func TestProgramsGetX25519MLKEM768(t *testing.T) {
	r := newInterceptRig(t)
	c := r.client()
	c.Send(connectTo443(host))
	c.Expect(established)
	tc := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true, ServerName: host})
	require.NoError(t, tc.Handshake())
	assert.Equal(t, tls.X25519MLKEM768, tc.ConnectionState().CurveID, "key exchange")
}

// clientHello is what crypto/tls sends first.
func clientHello(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		tls.Client(client, cfg).Handshake()
	}()
	header := make([]byte, 5)
	_, err := io.ReadFull(server, header)
	require.NoError(t, err)
	hello := make([]byte, binary.BigEndian.Uint16(header[3:]))
	_, err = io.ReadFull(server, hello)
	require.NoError(t, err)
	return string(header) + string(hello)
}

// TestHelloThatIsNotAnswered checks that a program is tunnelled, within a CONNECT and on a
// TLS listener, whose ClientHello cannot be answered but by the upstream: with a server name
// that ends with a dot, which crypto/tls neither sends nor reads, with old versions, and
// without HTTP/1.1. Its other connections are intercepted.
func TestHelloThatIsNotAnswered(t *testing.T) {
	named := func(name string, newest uint16) string {
		return clientHello(t, &tls.Config{InsecureSkipVerify: true, ServerName: name, MinVersion: tls.VersionTLS10, MaxVersion: newest})
	}
	protocols := func(p ...string) string {
		return clientHello(t, &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: p})
	}
	dotted := strings.Replace(named(host+"x", tls.VersionTLS13), host+"x", host+".", 1)
	for name, test := range map[string]struct {
		hello   string
		connect string // "" for a TLS listener
	}{
		"dot":                            {dotted, host + ".:443"},
		"dot, but not in the CONNECT":    {dotted, host + ":443"},
		"dot, on a TLS listener":         {dotted, ""},
		"TLS 1.0":                        {named(host, tls.VersionTLS10), host + ":443"},
		"TLS 1.1":                        {named(host, tls.VersionTLS11), host + ":443"},
		"TLS 1.1 without a name":         {named("127.0.0.1", tls.VersionTLS11), host + ":443"},
		"TLS 1.1, on a TLS listener":     {named(host, tls.VersionTLS11), ""},
		"HTTP/2 only":                    {protocols("h2"), host + ":443"},
		"HTTP/2 only, on a TLS listener": {protocols("h2"), ""},
		"HTTP/1.0 only":                  {protocols("http/1.0"), host + ":443"},
		"other protocols":                {protocols("h2", "h3", "acme-tls/1"), host + ":443"},
		"TLS 1.0 with a dot":             {strings.Replace(named(host+"x", tls.VersionTLS10), host+"x", host+".", 1), host + ":443"},
	} {
		for _, others := range []OtherHosts{OtherRefuse, OtherForward, OtherPass} {
			t.Run(name+", "+others.String(), func(t *testing.T) {
				r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = others })
				r.leadAll(host + ":443")
				c := rawconn.Dial(t, r.addrTLS)
				if test.connect != "" {
					c = r.client()
					c.Send("CONNECT " + test.connect + " HTTP/1.1\r\nHost: " + test.connect + "\r\n\r\n")
					c.Expect(established)
				}
				c.Send(test.hello)
				up := r.upstream()
				up.Expect(test.hello)
				up.Deliver("\x16response", c)
				s := r.proxy.Stats()
				assert.EqualValues(t, 1, s.TappedTunnels, s)
				r.inTLS()
			})
		}
	}
}

// TestHelloThatIsRefused checks that such a program is not tunnelled to a port that
// tunnels may not lead to. Its CONNECT is observed as it was sent.
func TestHelloThatIsRefused(t *testing.T) {
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":     {InsecureSkipVerify: true, ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"HTTP/2 only": {InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h2"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newInterceptRig(t)
			r.leadAll(host + ":8443")
			c := r.client()
			c.Send("CONNECT " + host + ":8443 HTTP/1.1\r\nHost: " + host + ":8443\r\nUser-Agent: sdk/1\r\n\r\n")
			c.Expect(established)
			c.Send(clientHello(t, cfg))
			c.Expect("\x15\x03\x01\x00\x02\x02\x31") // access_denied
			o := r.observed()
			assert.Equal(t, classify.FaultUnsupported, o.Fault)
			assert.Equal(t, "CONNECT", o.Method)
			assert.Equal(t, host+":8443", string(o.Target))
			assert.Equal(t, "sdk/1", string(o.UserAgent))
			r.untouched()
		})
	}
}

// TestHostWithADot checks that the host of a plain request may end with a dot.
func TestHostWithADot(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.Send(request(host + "."))
	up := r.upstream()
	up.Expect(request(host + "."))
	up.Deliver(okResponse, c)
	r.begun()
	if o := r.observed(); o.Call.Host != host+"." && o.Call.Host != host || o.Fault != classify.FaultNone {
		t.Errorf("%+v", o)
	}
}
