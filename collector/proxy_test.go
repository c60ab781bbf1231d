package collector

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestOtherHostsAreForwardedUnseen(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Policy.OtherHosts = OtherForward })
	policy := Policy{OtherHosts: OtherForward, ConnectTo: []upstream.ConnectTo{r.leadTo("example.com:80")}}
	require.NoError(t, r.proxy.Reload(policy, classify.New(classify.DefaultCatalog())))
	c := r.client()
	var up *rawconn.Conn
	for _, sent := range []string{
		"GET http://example.com/x HTTP/1.1\r\nHost: example.com\r\nA:  b\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: example.com\r\nA:  b\r\n\r\n",
	} {
		c.Send(sent)
		if up == nil {
			up = r.upstream()
		}
		up.Expect("GET /x HTTP/1.1\r\nHost: example.com\r\nA:  b\r\n\r\n")
		up.Deliver(okResponse, c)
	}
	r.silent()
	s := r.proxy.Stats()
	assert.EqualValues(t, 2, s.Unobserved, s)
}

func TestHostFieldMayDifferAmongTappedHosts(t *testing.T) {
	r := newRig(t)
	const regional = "monitor.cn-beijing-6.api.ksyun.com"
	policy := Policy{ConnectTo: []upstream.ConnectTo{r.leadTo(regional + ":80")}}
	require.NoError(t, r.proxy.Reload(policy, classify.New(classify.DefaultCatalog())))
	c := r.client()
	c.Send("GET http://" + regional + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	up := r.upstream()
	up.Expect("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	up.Deliver(okResponse, c)
	if call := r.begun(); call.Host != regional || call.Region != "cn-beijing-6" {
		t.Errorf("%+v", call)
	}
	r.observed()
}

func TestSignedFieldsForAProxyStay(t *testing.T) {
	for target, authorization := range map[string]string{
		"/": "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/r/monitor/aws4_request, SignedHeaders=host;proxy-connection, Signature=0\r\n",
		"/?X-Amz-SignedHeaders=host%3Bproxy-connection&X-Amz-Signature=0": "",
	} {
		r := newRig(t)
		c := r.client()
		head := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nProxy-Connection: keep-alive\r\n"
		c.Send(head + "Proxy-Authorization: Basic eDp5\r\n" + authorization + "\r\n")
		r.upstream().Expect(head + authorization + "\r\n")
	}
}

func TestReload(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.Send(request(host))
	up := r.upstream()
	up.Expect(request(host))

	// The running exchange uses the old rules, the next one the new ones.
	policy := Policy{TapHosts: patterns(t, "other.example.com"), ConnectTo: []upstream.ConnectTo{r.leadTo("other.example.com:80")}}
	require.NoError(t, r.proxy.Reload(policy, classify.New(classify.DefaultCatalog())))
	up.Deliver(okResponse, c)
	r.begun()
	o := r.observed()
	assert.Equal(t, classify.OutcomeSuccess, o.Verdict.Outcome, o.Verdict)

	c.Send(request(host))
	resp, _ := c.Response()
	assert.Equal(t, http.StatusForbidden, resp.StatusCode, "status")
	assert.Equal(t, classify.FaultHostRefused, r.observed().Fault)
	c.Send(request("other.example.com"))
	up = r.upstream()
	up.Expect(request("other.example.com"))
	up.Deliver(okResponse, c)
}

func TestReloadReplacesUpstreams(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.Send(request(host))
	up := r.upstream()
	up.Expect(request(host))
	up.Deliver(okResponse, c)
	r.begun()
	r.observed()
	old := r.proxy.rules.Load()
	require.NoError(t, r.proxy.Reload(old.policy, old.classifier))
	c.Send(request(host))
	r.upstream().Expect(request(host))
	_, err := up.In.ReadByte()
	assert.Error(t, err, "the old upstream connection is in use")
}

func TestStats(t *testing.T) {
	r := newRig(t, func(c *Config) { c.InspectBytes = 10 })
	req := "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 20\r\n\r\n" + strings.Repeat("x", 20)
	c := r.client()
	c.Send(req)
	up := r.upstream()
	up.Expect(req)
	response := "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + strings.Repeat("y", 20)
	up.Deliver(response, c)
	r.begun()
	r.observed()
	r.silent()
	got := r.proxy.Stats()
	want := Stats{Stats: relay.Stats{
		Accepted: 1, Dials: 1,
		RequestBytes: int64(len(req)), ResponseBytes: int64(len(response)),
	}}
	assert.Equal(t, want, got)
}
