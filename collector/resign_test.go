package collector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/resign"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

var (
	realKey  = resign.Credentials{AccessKey: "AKREAL", SecretKey: "real"}
	localKey = resign.Credentials{AccessKey: "AKLOCAL", SecretKey: "local"}
)

func testSigner(verify bool) *resign.Signer {
	cfg := resign.Config{Credentials: func() resign.Credentials { return realKey }, Host: host, Region: "cn-beijing-6", Service: "monitor"}
	if verify {
		cfg.Local = func() resign.Credentials { return localKey }
	}
	return resign.New(cfg)
}

// serveResign adds an own address to the rig and returns it.
func (r *rig) serveResign(a ResignAddress) string {
	r.t.Helper()
	a.Upstream = &url.URL{Scheme: "http", Host: host}
	if a.Signer == nil {
		a.Signer = testSigner(false)
	}
	ln := rawconn.Listen(r.t)
	served := make(chan error, 1)
	go func() { served <- r.proxy.ServeResign(ln, a) }()
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		r.proxy.Shutdown(ctx)
		assert.NoError(r.t, <-served, "ServeResign")
	})
	return ln.Addr().String()
}

// simulate answers at the rig's upstream as the API does, for the real key.
func (r *rig) simulate() {
	srv := &http.Server{Handler: cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{{AccessKey: realKey.AccessKey, SecretKey: realKey.SecretKey}},
	})}
	go srv.Serve(r.back)
	r.t.Cleanup(func() { srv.Close() })
}

// TestResign sends requests framed in every way; each arrives signed with
// the real key. What is not answered with 200 names the status.
func TestResign(t *testing.T) {
	r := newRig(t)
	r.simulate()
	addr := r.serveResign(ResignAddress{})
	const get = "GET /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: " + "127.0.0.1\r\nAccept: application/json\r\n"
	const post = "POST /?Action=PutMetricData&Version=2017-07-01 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
	large := `{"pad":"` + strings.Repeat("x", 900<<10) + `"}`
	for name, tc := range map[string]struct {
		raw    string
		status int
	}{
		"GET":                   {get + "\r\n", 200},
		"HEAD":                  {"HEAD" + get[3:] + "\r\n", 200},
		"hop-by-hop fields":     {get + "Connection: te, keep-alive\r\nTE: trailers\r\nKeep-Alive: 1\r\n\r\n", 200},
		"POST":                  {post + "Content-Length: 2\r\n\r\n{}", 200},
		"POST, empty":           {post + "Content-Length: 0\r\n\r\n", 200},
		"chunked":               {post + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nA: x\r\n\r\n", 200},
		"large":                 {post + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large)) + large, 200},
		"large, chunked":        {post + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large), 200},
		"too large":             {post + "Content-Length: 1048577\r\n\r\n", 413},
		"too large, chunked":    {post + "Transfer-Encoding: chunked\r\n\r\n400000\r\n" + strings.Repeat("x", 4<<20) + "\r\n0\r\n\r\n", 413},
		"as to a proxy":         {"GET http://" + host + "/?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 501},
		"CONNECT":               {"CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 501},
		"no HTTP":               {"\x16\x03\x01\r\n\r\n", 400},
		"another host":          {strings.Replace(get, "127.0.0.1", "example.com", 1) + "\r\n", 200},
		"an old signature":      {get + "Authorization: AWS4-HMAC-SHA256 Credential=x/20200101/cn-beijing-6/monitor/aws4_request, SignedHeaders=host;x-amz-date, Signature=0\r\nX-Amz-Date: 20200101T000000Z\r\n\r\n", 200},
		"a token of a program":  {get + "X-Amz-Security-Token: theirs\r\nX-Ksc-Security-Token: theirs\r\n\r\n", 200},
		"a wrong hash of body":  {post + "X-Amz-Content-Sha256: 00\r\nContent-Length: 2\r\n\r\n{}", 200},
		"trailing empty params": {"GET /?&&Action=ListMetrics&Version=2010-05-25& HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			c := rawconn.Dial(t, addr)
			go io.WriteString(c, tc.raw)
			method, _, _ := strings.Cut(tc.raw, " ")
			res, body := c.ResponseTo(method)
			require.Equal(t, tc.status, res.StatusCode, "status %d, want %d\n%s", res.StatusCode, tc.status, body)
			var o *classify.Observation
			for o == nil {
				o = r.next().obs
			}
			if tc.status == 200 && (o.Source != classify.SourceResign || o.Call.Action == "" || o.Verdict.Outcome != classify.OutcomeSuccess ||
				o.Credential != classify.HashAccessKey([]byte("test key"), []byte(realKey.AccessKey))) {
				t.Errorf("observed %+v", o)
			}
		})
	}
}

// TestResignKeepsItsKey checks that the key that calls are signed with is not
// output where the API quotes it.
func TestResignKeepsItsKey(t *testing.T) {
	r := newRig(t)
	signer := resign.New(resign.Config{
		Credentials: func() resign.Credentials {
			return resign.Credentials{AccessKey: "canary-key", SecretKey: "s", Token: "canary-token"}
		},
		Host: host, Region: "cn-beijing-6", Service: "monitor",
	})
	c := rawconn.Dial(t, r.serveResign(ResignAddress{Signer: signer}))
	c.Send("GET /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: x\r\n\r\n")
	up := r.upstream()
	_, err := http.ReadRequest(up.In)
	require.NoError(t, err)
	const body = `{"Error":{"Code":"Invalid.canary-key","InnerCode":"canary-token","Message":"no canary-key with canary-token"}}`
	up.Send(fmt.Sprintf("HTTP/1.1 403 Forbidden\r\nX-KSC-Request-Id: canary-key\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	r.begun()
	v := r.observed().Verdict
	if text := fmt.Sprint(v.Code, v.Inner, v.Message, v.RequestID); strings.Contains(text, "canary") || v.Code != "Invalid."+"REDACTED" {
		t.Errorf("verdict: %s", text)
	}
}

// TestResignPipelined sends requests ahead of the responses, one of them with
// a body that outgrows the buffers.
func TestResignPipelined(t *testing.T) {
	r := newRig(t)
	r.simulate()
	c := rawconn.Dial(t, r.serveResign(ResignAddress{}))
	large := strings.Repeat("x", 200<<10)
	var all strings.Builder
	for i := range 6 {
		body := ""
		if i%3 == 1 {
			body = large
		}
		fmt.Fprintf(&all, "POST /?Action=PutMetricData&Version=2017-07-01&i=%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
	}
	go io.WriteString(c, all.String())
	for i := range 6 {
		res, body := c.Response()
		require.Equal(t, http.StatusOK, res.StatusCode, "response %d: status %d, %s", i, res.StatusCode, body)
	}
}

// TestResignContinues has a program that waits to be asked for its body.
func TestResignContinues(t *testing.T) {
	r := newRig(t)
	r.simulate()
	c := rawconn.Dial(t, r.serveResign(ResignAddress{}))
	c.Send("POST /?Action=PutMetricData&Version=2017-07-01 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	res, _ := c.Response()
	require.Equal(t, http.StatusContinue, res.StatusCode, "%s: want to be asked for the body", res.Status)
	c.Send("{}")
	if res, body := c.Response(); res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, body)
	}
}

// TestResignBodyBreaksOff has programs leave before their request is whole:
// nothing reaches the API.
func TestResignBodyBreaksOff(t *testing.T) {
	r := newRig(t)
	addr := r.serveResign(ResignAddress{})
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		c := rawconn.Dial(t, addr)
		c.Send(raw)
		c.CloseWrite()
		_, err := io.Copy(io.Discard, c)
		require.NoError(t, err)
	}
	assert.Zero(t, r.proxy.Stats().Dials, "connections to the API")
}

// TestResignVerifies looks at the refusal; resign's tests at the signatures.
func TestResignVerifies(t *testing.T) {
	r := newRig(t)
	r.simulate()
	addr := r.serveResign(ResignAddress{Signer: testSigner(true)})
	send := func(key cloudmonitor.Credential) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/?Action=ListMetrics&Version=2010-05-25", nil)
		require.NoError(t, err)
		req.Header.Set("Accept", "application/json")
		cloudmonitor.SignV4(req, nil, key, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now())
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	good := cloudmonitor.Credential{AccessKey: localKey.AccessKey, SecretKey: localKey.SecretKey}
	if status, body := send(good); status != 200 {
		t.Errorf("status %d: %s", status, body)
	}
	bad := good
	bad.SecretKey = "guessed"
	status, body := send(bad)
	if status != 403 || !strings.Contains(body, `"Code":"TapSignatureDoesNotMatch","Message":"ksyun-tap refuses the request: its signature does not match. Sign it`) {
		t.Errorf("status %d: %s", status, body)
	}
	var o *classify.Observation
	for o == nil || o.Fault == classify.FaultNone {
		o = r.next().obs
	}
	if o.Fault != classify.FaultSignature || !o.Fault.Refused() || o.Credential != "" {
		t.Errorf("observed %+v", o)
	}
	assert.EqualValues(t, 1, r.proxy.Stats().Dials, "connections to the API")
}

func TestResignAllows(t *testing.T) {
	r := newRig(t)
	r.simulate()
	for networks, want := range map[string]int{"127.0.0.0/8": 200, "10.0.0.0/8": 0, "10.0.0.0/8 127.0.0.1/32": 200} {
		var a ResignAddress
		for n := range strings.FieldsSeq(networks) {
			a.Allow = append(a.Allow, netip.MustParsePrefix(n))
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(must(http.NewRequest(http.MethodGet, "http://"+r.serveResign(a)+"/?Action=ListMetrics&Version=2010-05-25", nil)))
		got := statusOrNone(res, err)
		assert.Equal(t, want, got, "%s: status %d, want %d: %v", networks, got, want, err)
	}
	if n := r.proxy.Stats().NotAllowed; n < 1 {
		t.Errorf("%d connections counted as not allowed", n)
	}
}

// TestResignMutualTLS asks programs for certificates.
func TestResignMutualTLS(t *testing.T) {
	r := newRig(t)
	r.simulate()
	cert, pool := certificate(t)
	other, _ := certificate(t)
	addr := r.serveResign(ResignAddress{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"http/1.1"},
	}})
	for name, tc := range map[string]struct {
		certs []tls.Certificate
		want  int
	}{"trusted": {[]tls.Certificate{cert}, 200}, "none": {nil, 0}, "of others": {[]tls.Certificate{other}, 0}} {
		tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: tc.certs}}
		res, err := tr.RoundTrip(must(http.NewRequest(http.MethodGet, "https://"+addr+"/?Action=ListMetrics&Version=2010-05-25", nil)))
		got := statusOrNone(res, err)
		assert.Equal(t, tc.want, got, "%s: status %d, want %d: %v", name, got, tc.want, err)
	}
	// Those without a request may fail after their programs have seen it, and those that
	// shutting down ends are not counted.
	rawconn.Await(t, func() bool { return r.proxy.Stats().Unsecured == 2 }, "of the failed handshakes not both are counted")
	assert.NoError(t, r.proxy.Shutdown(t.Context()))
}

func statusOrNone(res *http.Response, err error) int {
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// certificate returns one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	cert, certPEM := selfsigned.Certificate("127.0.0.1")
	return cert, poolOf(certPEM)
}
