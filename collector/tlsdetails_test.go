package collector

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
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

// dottedHello is a ClientHello whose server name ends with a dot, as Python
// requests sends it for such a URL. crypto/tls neither sends nor reads one.
func dottedHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		tls.Client(client, &tls.Config{InsecureSkipVerify: true, ServerName: host + "x"}).Handshake()
	}()
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	require.NoError(t, err)
	for !bytes.Contains(b[:n], []byte(host+"x")) {
		k, err := server.Read(b[n:])
		require.NoError(t, err)
		n += k
	}
	return bytes.Replace(b[:n], []byte(host+"x"), []byte(host+"."), 1)
}

// TestServerNameWithADot checks that such a program is tunnelled, within a CONNECT and
// on a TLS listener.
func TestServerNameWithADot(t *testing.T) {
	hello := string(dottedHello(t))
	for name, connect := range map[string]string{"dot": host + ".:443", "no dot in the CONNECT": host + ":443"} {
		t.Run(name, func(t *testing.T) {
			r := newInterceptRig(t)
			r.leadAll(host + ":443")
			c := r.client()
			c.Send("CONNECT " + connect + " HTTP/1.1\r\nHost: " + connect + "\r\n\r\n")
			c.Expect(established)
			c.Send(hello)
			up := r.upstream()
			up.Expect(hello)
			up.Deliver("\x16response", c)
			s := r.proxy.Stats()
			assert.EqualValues(t, 1, s.TappedTunnels, s)
		})
	}
	t.Run("a TLS listener", func(t *testing.T) {
		r := newInterceptRig(t)
		r.leadAll(host + ":443")
		c := rawconn.Dial(t, r.addrTLS)
		c.Send(hello)
		up := r.upstream()
		up.Expect(hello)
		up.Deliver("\x16response", c)
		s := r.proxy.Stats()
		assert.EqualValues(t, 1, s.TappedTunnels, s)
	})
	t.Run("plain HTTP", func(t *testing.T) {
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
	})
}
