package collector

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestTLSUnderTheRealHostName(t *testing.T) {
	r := newInterceptRig(t)
	c := r.tlsClient()
	c.Send(request(host))
	up := r.tlsUpstream()
	up.Expect(request(host))
	up.Deliver(okResponse, c)
	r.begun()
	if o := r.observed(); o.Source != classify.SourceReverse || o.Scheme != "https" || o.Port != 443 || o.Call.Host != host || o.Fault != "" {
		t.Errorf("%+v", o)
	}
	s := r.proxy.Stats()
	assert.EqualValues(t, 1, s.Intercepted, s)
}

func TestTLSOfOtherHosts(t *testing.T) {
	const other = "other.example"
	t.Run("passed on unseen", func(t *testing.T) {
		r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherForward })
		r.leadAll(other + ":443")
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			tc := tls.Server(r.upstream().Conn, r.upCA.server(other))
			io.Copy(tc, tc)
			tc.Close()
		})
		tc, err := tls.Dial("tcp", r.addrTLS, &tls.Config{ServerName: other, RootCAs: r.upCA.pool()})
		require.NoError(t, err)
		c := rawconn.New(t, tc)
		c.Deliver("echo", c)
		tc.CloseWrite()
		if s := r.proxy.Stats(); s.Tunnels != 1 || s.Intercepted != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("refused", func(t *testing.T) {
		r := newInterceptRig(t)
		_, err := tls.Dial("tcp", r.addrTLS, &tls.Config{ServerName: other, RootCAs: r.upCA.pool()})
		assert.ErrorContains(t, err, "unrecognized name", "the program saw")
		if o := r.observed(); o.Fault != classify.FaultHostRefused || o.Source != classify.SourceReverse {
			t.Errorf("fault %q, source %q", o.Fault, o.Source)
		}
		r.untouched()
	})
	t.Run("without a name", func(t *testing.T) {
		r := newInterceptRig(t)
		_, err := tls.Dial("tcp", r.addrTLS, &tls.Config{InsecureSkipVerify: true, ServerName: ""})
		assert.Error(t, err)
		if e := r.failed(); e.Reason != HandshakeOther || e.Host != "" || !e.Client.IsValid() {
			t.Errorf("%+v", e)
		}
		r.untouched()
		r.silent()
	})
}

// TestAliasesAreResolvedPast has the program's host resolve to the tap, as with a
// hosts file, and only DNS knows its real address.
func TestAliasesAreResolvedPast(t *testing.T) {
	r := newInterceptRig(t)
	_, port, _ := net.SplitHostPort(r.back.Addr().String())
	dns := dnsServer(t, upstreamtest.Addresses(t, "127.0.0.1"))
	p := r.proxy.rules.Load().policy
	p.TapHosts, p.Resolver = patterns(t, host, "real.example"), dns
	// The name on the right is not in a hosts file: only DNS knows it.
	p.ConnectTo = []upstream.ConnectTo{connectTo(t, host+":443=real.example:"+port)}
	require.NoError(t, r.proxy.Reload(p, classify.New(classify.DefaultCatalog())))
	c := r.tlsClient()
	c.Send(request(host))
	up := r.tlsUpstream()
	up.Expect(request(host))
	up.Deliver(okResponse, c)
}

func TestTLSLoopsAreRefused(t *testing.T) {
	r := newInterceptRig(t)
	p := r.proxy.rules.Load().policy
	p.ConnectTo = []upstream.ConnectTo{connectTo(t, host+":443="+r.addrTLS)}
	require.NoError(t, r.proxy.Reload(p, classify.New(classify.DefaultCatalog())))
	c := r.tlsClient()
	c.Send(request(host))
	resp, body := c.Response()
	if resp.Header.Get("X-Ksyun-Tap-Error") != "loop" || !strings.Contains(body, "--upstream.resolver") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	assert.Equal(t, classify.FaultLoop, r.observed().Fault)
}
