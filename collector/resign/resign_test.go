package resign_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/resign"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

const (
	ownHost = "127.0.0.1:18182" // that programs call
	apiHost = "monitor.api.ksyun.com"
)

var (
	now   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	scope = cloudmonitor.Scope{Region: "cn-shanghai-2", Service: "monitor"}

	local     = resign.Credentials{AccessKey: "AKLOCAL", SecretKey: "local secret"}
	simLocal  = cloudmonitor.Credential{AccessKey: local.AccessKey, SecretKey: local.SecretKey}
	permanent = resign.Credentials{AccessKey: "AKREAL", SecretKey: "real secret"}
	temporary = resign.Credentials{AccessKey: "AKTEMP", SecretKey: "temporary secret", Token: "a+token/with=signs"}
)

// simulator verifies signatures with key, strictly.
func simulator(key resign.Credentials) *cloudmonitor.Server {
	return cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{{AccessKey: key.AccessKey, SecretKey: key.SecretKey, Token: key.Token}},
		Now:         func() time.Time { return now },
	})
}

func newSigner(key resign.Credentials, verify bool) *resign.Signer {
	cfg := resign.Config{
		Credentials: func() resign.Credentials { return key },
		Host:        apiHost, Region: "cn-beijing-6", Service: "monitor",
		Now: func() time.Time { return now },
	}
	if verify {
		cfg.Local = func() resign.Credentials { return local }
	}
	return resign.New(cfg)
}

// wire is the request as the relay hands it over.
func wire(r *http.Request, body string) *resign.Request {
	return &resign.Request{
		Method: []byte(r.Method), Target: []byte(r.URL.RequestURI()), Version: []byte("HTTP/1.1"),
		Fields: fields(r), Body: []byte(body),
	}
}

func fields(r *http.Request) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		if !yield([]byte("Host"), []byte(r.Host)) {
			return
		}
		for name, values := range r.Header {
			for _, v := range values {
				if !yield([]byte(name), []byte(v)) {
					return
				}
			}
		}
		if r.ContentLength > 0 {
			yield([]byte("Content-Length"), fmt.Append(nil, r.ContentLength))
		}
	}
}

// send reads what was made as a server does, and has the simulator answer it.
func send(t *testing.T, sim http.Handler, p []byte) *httptest.ResponseRecorder {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p)))
	require.NoError(t, err, "%s", p)
	assert.Equal(t, apiHost, req.Host)
	res := httptest.NewRecorder()
	sim.ServeHTTP(res, req)
	return res
}

func request(t *testing.T, method, target, body, media string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+ownHost+target, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "a program/1.0  (x)")
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	return r
}

const (
	get     = "/?Action=ListMetrics&Version=2010-05-25&Namespace=KEC&Filter.1=a%20b&Filter.10=%E4%BA%91&Filter.2=x/y+z~"
	post    = "/?Action=GetMetricStatisticsBatch&Version=2018-11-14"
	batch   = `{"Namespace":"KEC","StartTime":"2026-11-24T11:00:00Z","EndTime":"2026-11-24T11:30:00Z","Period":60,"Metrics":[{"InstanceID":"i-1","MetricName":"cpu.utilizition.total"}]}`
	form    = "application/x-www-form-urlencoded"
	formArg = "Action=ListMetrics&Version=2010-05-25&Namespace=KEC&Filter.10=x&Filter.1=%E4%BA%91"
)

// programs are requests signed with the local key in every way there is.
func programs(t *testing.T) map[string]*resign.Request {
	t.Helper()
	all := map[string]*resign.Request{}
	add := func(name string, r *http.Request, body string) { all[name] = wire(r, body) }

	r := request(t, "GET", get, "", "")
	cloudmonitor.SignV4(r, nil, simLocal, scope, now)
	add("header GET", r, "")
	r = request(t, "POST", post, batch, "application/json")
	cloudmonitor.SignV4(r, []byte(batch), simLocal, scope, now, "accept", "content-type", "user-agent")
	add("header POST, more signed", r, batch)
	r = request(t, "POST", "/", formArg, form)
	cloudmonitor.SignV4(r, []byte(formArg), simLocal, scope, now)
	add("header POST form", r, formArg)
	r = request(t, "GET", "/v4/"+get[1:], "", "")
	cloudmonitor.SignV4(r, nil, simLocal, scope, now, "host")
	add("header, host twice, a path", r, "")

	aws4 := v4.NewSigner()
	awsKey := aws.Credentials{AccessKeyID: local.AccessKey, SecretAccessKey: local.SecretKey}
	r = request(t, "POST", post, batch, "application/json")
	sum := sha256.Sum256([]byte(batch))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	require.NoError(t, aws4.SignHTTP(context.Background(), awsKey, r, hex.EncodeToString(sum[:]), "monitor", scope.Region, now))
	add("aws-sdk-go-v2 POST", r, batch)
	r = request(t, "GET", get, "", "")
	signed, header, err := aws4.PresignHTTP(context.Background(), awsKey, r, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "monitor", scope.Region, now)
	require.NoError(t, err)
	r.URL, err = url.Parse(signed)
	require.NoError(t, err)
	for name, values := range header {
		if name != "Host" {
			r.Header[name] = values
		}
	}
	add("aws-sdk-go-v2 presigned", r, "")

	r = request(t, "GET", get, "", "")
	cloudmonitor.Presign(r, nil, simLocal, scope, now)
	add("presigned GET", r, "")
	r = request(t, "POST", post, batch, "application/json")
	cloudmonitor.Presign(r, []byte(batch), simLocal, scope, now)
	add("presigned POST", r, batch)

	simple := url.Values{"Action": {"ListMetrics"}, "Version": {"2010-05-25"}, "Namespace": {"KEC"}, "Filter.1": {"云 +"}, "Filter.10": {"x"}}
	cloudmonitor.SignSimple(simple, simLocal, "monitor", now)
	add("simple GET", request(t, "GET", "/?"+simple.Encode(), "", ""), "")
	add("simple POST", request(t, "POST", "/", simple.Encode(), form+"; charset=utf-8"), simple.Encode())
	return all
}

// TestSignedAnew has the simulator verify what becomes of requests signed with
// the local key.
func TestSignedAnew(t *testing.T) {
	for name, r := range programs(t) {
		for keys, key := range map[string]resign.Credentials{"permanent": permanent, "temporary": temporary} {
			for _, verify := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s,%s,verify=%v", name, keys, verify), func(t *testing.T) {
					p, err := newSigner(key, verify).Append([]byte("before"), r)
					require.NoError(t, err)
					p, ok := bytes.CutPrefix(p, []byte("before"))
					require.True(t, ok, "not appended")
					res := send(t, simulator(key), p)
					assert.Equal(t, http.StatusOK, res.Code, "status %d: %s\n%s", res.Code, res.Body, p)
					if bytes.Contains(p, []byte(local.AccessKey)) || bytes.Contains(p, []byte("SECRET")) || bytes.Contains(p, []byte(key.SecretKey)) {
						t.Errorf("a key that has no place in it:\n%s", p)
					}
					if !strings.Contains(name, "simple") && !bytes.Contains(p, []byte(scope.Region)) {
						t.Errorf("the program's region is lost:\n%s", p)
					}
				})
			}
		}
	}
}

func TestUnsignedIsSigned(t *testing.T) {
	r := wire(request(t, "GET", get, "", ""), "")
	p, err := newSigner(permanent, false).Append(nil, r)
	require.NoError(t, err)
	res := send(t, simulator(permanent), p)
	assert.Equal(t, http.StatusOK, res.Code, "status %d: %s", res.Code, res.Body)
	assert.True(t, bytes.Contains(p, []byte("/cn-beijing-6/monitor/aws4_request")), "not signed for the default region:\n%s", p)
}

// TestTheRestIsUnchanged compares target, fields and body.
func TestTheRestIsUnchanged(t *testing.T) {
	var b bytes.Buffer
	in := []string{"hOST: " + ownHost, "accept:  application/json ", "X-Twice: 1", "X-Twice: 2", "content-type: application/json", "CONTENT-length: 5", "Expect: 100-continue", "X-Last: ü"}
	for _, line := range in {
		b.WriteString(line + "\n")
	}
	r := &resign.Request{
		Method: []byte("POST"), Target: []byte("/v4/?b=%2f&a&&=x&b=2"), Version: []byte("HTTP/1.0"), Body: []byte("12345"),
		Fields: func(yield func(name, value []byte) bool) {
			for _, line := range in {
				name, value, _ := strings.Cut(line, ":")
				if !yield([]byte(name), []byte(strings.TrimSpace(value))) {
					return
				}
			}
		},
	}
	p, err := newSigner(temporary, false).Append(nil, r)
	require.NoError(t, err)
	head, body, _ := strings.Cut(string(p), "\r\n\r\n")
	const want = "POST /v4/?b=%2f&a&=x&b=2 HTTP/1.0\r\n" +
		"hOST: monitor.api.ksyun.com\r\naccept: application/json\r\nX-Twice: 1\r\nX-Twice: 2\r\ncontent-type: application/json\r\nX-Last: ü\r\n" +
		"Content-Length: 5\r\nX-Amz-Security-Token: a+token/with=signs\r\nX-Amz-Date: 20261124T120000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKTEMP/20261124/cn-beijing-6/monitor/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="
	if !strings.HasPrefix(head, want) || body != "12345" {
		t.Errorf("made\n%s\nwant\n%s", p, want)
	}
}

// TestRefused changes requests signed with the local key.
func TestRefused(t *testing.T) {
	late := func(d time.Duration) func(*testing.T) *resign.Request {
		return func(t *testing.T) *resign.Request {
			r := request(t, "GET", get, "", "")
			cloudmonitor.SignV4(r, nil, simLocal, scope, now.Add(d))
			return wire(r, "")
		}
	}
	lateSimple := func(d time.Duration) func(*testing.T) *resign.Request {
		return func(t *testing.T) *resign.Request {
			q := url.Values{"Action": {"ListMetrics"}}
			cloudmonitor.SignSimple(q, simLocal, "monitor", now.Add(d))
			return wire(request(t, "GET", "/?"+q.Encode(), "", ""), "")
		}
	}
	change := func(name string, edit func(r *resign.Request)) func(*testing.T) *resign.Request {
		return func(t *testing.T) *resign.Request {
			r := programs(t)[name]
			edit(r)
			return r
		}
	}
	replace := func(old, with string) func(r *resign.Request) {
		return func(r *resign.Request) {
			if !bytes.Contains(r.Target, []byte(old)) {
				panic("nothing to replace")
			}
			r.Target = bytes.Replace(r.Target, []byte(old), []byte(with), 1)
		}
	}
	value := func(name, old, with string) func(r *resign.Request) {
		return func(r *resign.Request) {
			all := r.Fields
			r.Fields = func(yield func(name, value []byte) bool) {
				for n, v := range all {
					if string(n) == name {
						v = bytes.Replace(v, []byte(old), []byte(with), 1)
					}
					if !yield(n, v) {
						return
					}
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		make func(*testing.T) *resign.Request
		want error
	}{
		"unsigned":              {func(t *testing.T) *resign.Request { return wire(request(t, "GET", get, "", ""), "") }, resign.ErrUnsigned},
		"another action":        {change("header GET", replace("ListMetrics", "ListMetricz")), resign.ErrSignature},
		"another body":          {change("header POST, more signed", func(r *resign.Request) { r.Body[0] = '[' }), resign.ErrSignature},
		"another method":        {change("header GET", func(r *resign.Request) { r.Method = []byte("POST") }), resign.ErrSignature},
		"another path":          {change("header GET", replace("/?", "/v4/?")), resign.ErrSignature},
		"a signed field":        {change("header POST, more signed", value("Accept", "json", "xml")), resign.ErrSignature},
		"another host":          {change("header GET", value("Host", "127", "128")), resign.ErrSignature},
		"another key":           {change("header GET", value("Authorization", "AKLOCAL", "AKOTHER")), resign.ErrKey},
		"another region":        {change("header GET", value("Authorization", "cn-shanghai-2", "cn-shanghai-3")), resign.ErrSignature},
		"another day":           {change("header GET", value("Authorization", "/20261124/", "/20261123/")), resign.ErrTime},
		"another terminator":    {change("header GET", value("Authorization", "aws4_request", "aws4_requesu")), resign.ErrMalformed},
		"host not signed":       {change("header GET", value("Authorization", "host;", "")), resign.ErrMalformed},
		"signature cut":         {change("header GET", value("Authorization", "Signature=", "Signature=0")), resign.ErrSignature},
		"no signature":          {change("header GET", value("Authorization", "Signature=", "S=")), resign.ErrMalformed},
		"another algorithm":     {change("header GET", value("Authorization", "AWS4", "AWS5")), resign.ErrMalformed},
		"no date":               {change("header GET", value("X-Amz-Date", "2026", "x")), resign.ErrMalformed},
		"presigned, query":      {change("presigned GET", replace("KEC", "KES")), resign.ErrSignature},
		"presigned, body":       {change("presigned POST", func(r *resign.Request) { r.Body = nil }), resign.ErrSignature},
		"presigned, algorithm":  {change("presigned GET", replace("AWS4-HMAC", "AWS4-HMAX")), resign.ErrMalformed},
		"presigned, credential": {change("presigned GET", replace("%2Faws4_request", "")), resign.ErrMalformed},
		"simple, query":         {change("simple GET", replace("KEC", "KES")), resign.ErrSignature},
		"simple, key":           {change("simple GET", replace("AKLOCAL", "AKOTHER")), resign.ErrKey},
		"simple, body":          {change("simple POST", func(r *resign.Request) { r.Body = bytes.Replace(r.Body, []byte("KEC"), []byte("KES"), 1) }), resign.ErrSignature},
		"simple, no signature":  {change("simple GET", replace("Signature=", "Signatur=")), resign.ErrMalformed},
		"16 minutes late":       {late(-16 * time.Minute), resign.ErrTime},
		"16 minutes early":      {late(16 * time.Minute), resign.ErrTime},
		"simple, late":          {lateSimple(-16 * time.Minute), resign.ErrTime},
		"simple, early":         {lateSimple(16 * time.Minute), resign.ErrTime},
		"14 minutes late":       {late(-14 * time.Minute), nil},
		"simple, 14 minutes":    {lateSimple(14 * time.Minute), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newSigner(permanent, true).Append(nil, tc.make(t))
			assert.ErrorIs(t, err, tc.want)
			if tc.want != nil && len(p) > 0 {
				t.Errorf("refused, and yet made:\n%s", p)
			}
		})
	}
}

// FuzzAppend signs whatever comes. What is made must be one request, and signed.
func FuzzAppend(f *testing.F) {
	for _, seed := range []struct{ target, authorization, media, body string }{
		{get, "", "", ""},
		{"/?Accesskey=x&Signature=y", "", form, "a=b"},
		{"/", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host;host;x, Signature=z", form, "Accesskey=1&%zz=%"},
		{"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c%0d%0a/d/e&X-Amz-SignedHeaders=host%3b%0a", "", "", "x"},
		{"/%2f/?&&=&a", "Basic x", "text/plain", "\x00"},
	} {
		f.Add(seed.target, seed.authorization, seed.media, []byte(seed.body))
	}
	const text = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"
	real := resign.Credentials{AccessKey: local.AccessKey, SecretKey: local.SecretKey}
	first, second := newSigner(real, false), newSigner(permanent, true)
	f.Fuzz(func(t *testing.T, target, authorization, media string, body []byte) {
		// What the relay lets through as a target and as a field's value.
		if !strings.HasPrefix(target, "/") || strings.ContainsAny(target, text+" \t") || strings.ContainsAny(authorization+media, text) {
			return
		}
		r := &resign.Request{
			Method: []byte("POST"), Target: []byte(target), Version: []byte("HTTP/1.1"), Body: body,
			Fields: func(yield func(name, value []byte) bool) {
				_ = yield([]byte("Host"), []byte(ownHost)) &&
					yield([]byte("Authorization"), []byte(strings.TrimSpace(authorization))) &&
					yield([]byte("Content-Type"), []byte(strings.TrimSpace(media)))
			},
		}
		p, err := first.Append(nil, r)
		require.NoError(t, err)
		in := bufio.NewReader(bytes.NewReader(p))
		req, err := http.ReadRequest(in)
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL") || strings.Contains(err.Error(), "malformed HTTP request") || strings.Contains(err.Error(), "invalid URI") {
				return // as strange as it came
			}
			t.Fatalf("%v\n%q", err, p)
		}
		sent, err := io.ReadAll(req.Body)
		if err != nil || in.Buffered() > 0 || req.Host != apiHost {
			t.Fatalf("not one request: %v, %d bytes more, to %q\n%q", err, in.Buffered(), req.Host, p)
		}
		// Signed with the key that it names, as far as it names one.
		again := &resign.Request{Method: r.Method, Target: []byte(req.RequestURI), Version: r.Version, Body: sent, Fields: fields(req)}
		if _, err := second.Append(nil, again); err != nil && !errors.Is(err, resign.ErrMalformed) {
			t.Errorf("what was signed is refused: %v\n%q", err, p)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	r := &resign.Request{
		Method: []byte("GET"), Target: []byte(get), Version: []byte("HTTP/1.1"),
		Fields: func(yield func(name, value []byte) bool) {
			_ = yield([]byte("Host"), []byte(ownHost)) && yield([]byte("Accept"), []byte("application/json")) &&
				yield([]byte("Authorization"), []byte("AWS4-HMAC-SHA256 Credential=a/20261124/cn-beijing-6/monitor/aws4_request, SignedHeaders=host;x-amz-date, Signature=z"))
		},
	}
	s := newSigner(permanent, false)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = s.Append(dst[:0], r)
	}
}
