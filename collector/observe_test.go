package collector

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const (
	accessKey = "AKLTtestAccessKey000"
	secretKey = "testSecretKey0000000000000000000"
	token     = "testSessionToken0000000000000000"
)

// sdkRequest is a request of the API as an SDK signs it, in origin form.
func sdkRequest(t *testing.T, presigned bool, method, query, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+host+"/?"+query, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Accept", "application/json")
	creds := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: token}
	hash := fmt.Sprintf("%064x", 0)
	now := time.Now()
	signer := v4.NewSigner()
	if presigned {
		uri, header, err := signer.PresignHTTP(t.Context(), creds, req, hash, "monitor", "cn-beijing-6", now)
		require.NoError(t, err)
		req, err = http.NewRequest(method, uri, strings.NewReader(body))
		require.NoError(t, err)
		req.Header = header
	} else if err := signer.SignHTTP(t.Context(), creds, req, hash, "monitor", "cn-beijing-6", now); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "sdk/1")
	req.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	req.Header.Set("Tracestate", "a=b")
	var b bytes.Buffer
	require.NoError(t, req.Write(&b))
	return b.String()
}

func TestSignedRequestsPassVerbatim(t *testing.T) {
	for _, tt := range []struct {
		name, method, query, body string
		presigned                 bool
	}{
		{"header, GET", "GET", "Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC", "", false},
		{"header, POST", "POST", "Action=GetMetricStatisticsBatch&Version=2018-11-14", `{"Metrics":[]}`, false},
		{"query, GET", "GET", "Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC", "", true},
		{"query, POST", "POST", "Action=GetMetricStatisticsBatch&Version=2018-11-14", `{"Metrics":[]}`, true},
	} {
		for _, source := range []classify.Source{classify.SourceForward, classify.SourceReverse} {
			t.Run(tt.name+", "+string(source), func(t *testing.T) {
				r := newRig(t)
				req := sdkRequest(t, tt.presigned, tt.method, tt.query, tt.body)
				sent := req
				if source == classify.SourceForward {
					sent = viaProxy(req)
				}
				before := time.Now()
				c := r.client()
				c.Send(sent)
				up := r.upstream()
				up.Expect(req)
				up.Deliver(okResponse, c)

				call := r.begun()
				o := r.observed()
				action := strings.TrimPrefix(strings.Split(tt.query, "&")[0], "Action=")
				if call.Service != "monitor" || call.Action != action || call.Region != "cn-beijing-6" || call.Host != host {
					t.Errorf("call %+v", call)
				}
				if o.Call != *call {
					t.Errorf("observed call %+v, begun %+v", o.Call, call)
				}
				if want := classify.SigningSigV4; !tt.presigned && o.Call.Signing != want {
					t.Errorf("signing %q", o.Call.Signing)
				}
				if o.Verdict.Outcome != classify.OutcomeSuccess || o.Verdict.Status != 200 || o.Fault != classify.FaultNone {
					t.Errorf("verdict %+v, fault %q", o.Verdict, o.Fault)
				}
				if o.Source != source || o.Method != tt.method || o.Scheme != "http" || o.Port != 80 {
					t.Errorf("%s %s %s %d", o.Source, o.Method, o.Scheme, o.Port)
				}
				if target := strings.Split(req, " ")[1]; string(o.Target) != target {
					t.Errorf("target %q, want %q", o.Target, target)
				}
				if o.Client != netip.MustParseAddrPort(c.LocalAddr().String()) || o.Upstream != netip.MustParseAddrPort(r.back.Addr().String()) {
					t.Errorf("client %v, upstream %v", o.Client, o.Upstream)
				}
				if string(o.UserAgent) != "sdk/1" || !strings.HasPrefix(string(o.Traceparent), "00-01234567") || string(o.Tracestate) != "a=b" {
					t.Errorf("%q, %q, %q", o.UserAgent, o.Traceparent, o.Tracestate)
				}
				if o.RequestBytes != int64(len(sent)) || o.ResponseBytes != int64(len(okResponse)) {
					t.Errorf("%d and %d bytes, want %d and %d", o.RequestBytes, o.ResponseBytes, len(sent), len(okResponse))
				}
				if o.Start.Before(before) || o.FirstByte.Before(o.Start) || o.End.Before(o.FirstByte) || o.End.After(time.Now()) {
					t.Errorf("times %v, %v, %v", o.Start, o.FirstByte, o.End)
				}
				assert.Len(t, o.Credential, 16, "credential")
				assert.NotContains(t, accessKey, o.Credential, "credential")
				r.silent()
			})
		}
	}
}

// TestMethodAndProtocol checks what the start lines of request and response say.
func TestMethodAndProtocol(t *testing.T) {
	for _, tt := range []struct{ request, response, method, original, protocol string }{
		{"GET / HTTP/1.1", "HTTP/1.1 200 OK", "GET", "", "1.1"},
		{"GET / HTTP/1.1", "HTTP/1.0 200 OK", "GET", "", "1.0"},
		{"GET / HTTP/1.0", "HTTP/1.1 200 OK", "GET", "", "1.1"},
		{"PURGE / HTTP/1.1", "HTTP/1.1 200 OK", "_OTHER", "PURGE", "1.1"},
		{"get / HTTP/1.1", "HTTP/1.1 200 OK", "_OTHER", "get", "1.1"},
		{"GET / HTTP/1.0", "", "GET", "", "1.0"},
	} {
		t.Run(tt.request+", "+tt.response, func(t *testing.T) {
			r := newRig(t)
			req := tt.request + "\r\nHost: " + host + "\r\n\r\n"
			r.client().Send(req)
			up := r.upstream()
			up.Expect(req)
			if tt.response == "" {
				up.Reset()
			} else {
				up.Send(tt.response + "\r\nContent-Length: 0\r\n\r\n")
			}
			r.begun()
			o := r.observed()
			if o.Method != tt.method || string(o.MethodOriginal) != tt.original || o.Protocol != tt.protocol {
				t.Errorf("method %q, originally %q, protocol %q", o.Method, o.MethodOriginal, o.Protocol)
			}
		})
	}
}

func TestCredentialTellsKeysApart(t *testing.T) {
	r := newRig(t)
	req := sdkRequest(t, false, "GET", "Action=ListMetrics&Version=2010-05-25", "")
	other := strings.Replace(req, accessKey, "AKLTanotherKey000000", 1)
	var got []string
	c := r.client()
	var up *rawconn.Conn
	for _, q := range []string{req, other, req} {
		c.Send(q)
		if up == nil {
			up = r.upstream()
		}
		up.Expect(q)
		up.Deliver(okResponse, c)
		r.begun()
		got = append(got, r.observed().Credential)
	}
	if got[0] == got[1] || got[0] != got[2] {
		t.Errorf("credentials %q", got)
	}
	again := newHandler(r.proxy, &proxyWay{}, netip.AddrPort{}).hash([]byte(accessKey))
	assert.Equal(t, got[0], again, "the same key gave")
	if want := classify.HashAccessKey([]byte("test key"), []byte(accessKey)); got[0] != want { // as transport has it
		t.Errorf("the key gave %s, want %s", got[0], want)
	}
	h := newHandler(r.proxy, &proxyWay{}, netip.AddrPort{})
	keys := [][]byte{[]byte(accessKey), []byte("AKLTanotherKey000000")}
	n := 0
	allocs := testing.AllocsPerRun(100, func() { h.hash(keys[n%2]); n++ })
	assert.Zero(t, allocs, "allocations for a name that is known")
	foreign := newProxy(t, Config{Classifier: classify.New(classify.DefaultCatalog()), Sink: r.sink})
	if h := newHandler(foreign, &proxyWay{}, netip.AddrPort{}).hash([]byte(accessKey)); h == got[0] {
		t.Error("the hash does not depend on the key")
	}
}

func TestVerdictsOfResponses(t *testing.T) {
	tests := []struct {
		file, status string
		outcome      classify.Outcome
		code         string
	}{
		{"error-sender.json", "400 Bad Request", classify.OutcomeError, "InvalidParameterValue"},
		{"error-quota.json", "409 Conflict", classify.OutcomeError, "LimitExceeded"},
		{"error-permission.xml", "403 Forbidden", classify.OutcomeError, "InvalidAuthenticationCode"},
		{"partial.json", "200 OK", classify.OutcomePartial, ""},
		{"success.json", "200 OK", classify.OutcomeSuccess, ""},
		{"gateway.html", "502 Bad Gateway", classify.OutcomeError, ""},
	}
	for _, tt := range tests {
		body := testfile.Read(t, "testdata/"+tt.file)
		for how, framing := range map[string]string{
			"length":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
			"chunked": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		} {
			t.Run(tt.file+", "+how, func(t *testing.T) {
				r := newRig(t)
				c := r.client()
				c.Send(request(host))
				up := r.upstream()
				up.Expect(request(host))
				response := "HTTP/1.1 " + tt.status + "\r\nX-KSC-REQUEST-ID: 01234567-89ab-4cde-8f01-23456789abcd\r\n" + framing
				up.Deliver(response, c)
				r.begun()
				v := r.observed().Verdict
				if v.Outcome != tt.outcome || v.Code != tt.code {
					t.Errorf("outcome %q, code %q; want %q, %q", v.Outcome, v.Code, tt.outcome, tt.code)
				}
				assert.False(t, v.RequestID.IsZero(), "no request ID")
			})
		}
	}
}

func TestErrorsBehindALongResponseAreSeen(t *testing.T) {
	body := `{"getMetricStatisticsBatchResults":[` + strings.Repeat(`{"instance":"i","points":[1,2,3]},`, 10000) +
		`{"instance":"j"}],"errorMessage":["metric net.if.in of instance j: query timed out"],"responseMetadata":{"requestId":"a6d3a2c4-1c50-4f6c-9a07-3c1f0f7f3a14"}}`
	for how, framing := range map[string]string{
		"length":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		"chunked": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
	} {
		r := newRig(t)
		c := r.client()
		c.Send(request(host))
		up := r.upstream()
		up.Expect(request(host))
		go up.Write([]byte("HTTP/1.1 200 OK\r\n" + framing))
		c.Expect("HTTP/1.1 200 OK\r\n" + framing)
		r.begun()
		if v := r.observed().Verdict; v.Outcome != classify.OutcomePartial || v.FailedItems != 1 || v.RequestID.IsZero() {
			t.Errorf("%s: %+v", how, v)
		}
	}
}

// TestRequestIDOfProgram checks that the request ID that a program sends is taken
// for failures without another one.
func TestRequestIDOfProgram(t *testing.T) {
	const field = "X-Ksc-Request-Id: "
	own := strings.Replace(request(host), "\r\n\r\n", "\r\n"+field+"own-id\r\n\r\n", 1)
	bad := strings.Replace(request(host), "\r\n\r\n", "\r\n"+field+"a b\r\n\r\n", 1)
	for name, tt := range map[string]struct {
		request, response string // "" resets the connection
		id                string
		source            classify.RequestIDSource
	}{
		"response has one":    {own, "HTTP/1.1 502 Bad Gateway\r\n" + field + "the-id\r\nContent-Length: 0\r\n\r\n", "the-id", ""},
		"response has none":   {own, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "own-id", classify.RequestIDProgram},
		"no response":         {own, "", "own-id", classify.RequestIDProgram},
		"success":             {own, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", ""},
		"not an ID":           {bad, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "", ""},
		"neither of them has": {request(host), "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.client()
			c.Send(tt.request)
			up := r.upstream()
			up.Expect(tt.request)
			if tt.response == "" {
				up.Reset()
			} else {
				up.Deliver(tt.response, c)
			}
			r.begun()
			if v := r.observed().Verdict; v.RequestID.String() != tt.id || v.RequestIDSource != tt.source {
				t.Errorf("request ID %q from %q, want %q from %q", v.RequestID.String(), v.RequestIDSource, tt.id, tt.source)
			}
		})
	}
}

func TestMessagesAreScrubbed(t *testing.T) {
	r := newRig(t)
	req := sdkRequest(t, false, "GET", "Action=ListMetrics&Version=2010-05-25", "")
	c := r.client()
	c.Send(req)
	up := r.upstream()
	up.Expect(req)
	body := fmt.Sprintf(`{"RequestId":"x","Error":{"Type":"Sender","Code":"InvalidAccesskey","Message":"no key %s with token %s"}}`, accessKey, token)
	response := fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	up.Deliver(response, c)
	r.begun()
	o := r.observed()
	assert.True(t, strings.HasPrefix(o.Verdict.Message, "no key "), "message %q", o.Verdict.Message)
	for _, secret := range []string{accessKey, token, secretKey} {
		assert.NotContains(t, o.Verdict.Message, secret)
	}
}

// TestVerdictsAreScrubbed checks that the sink sees no secret in any part of a
// verdict, of any of the request's credentials.
func TestVerdictsAreScrubbed(t *testing.T) {
	const secret = "canary~word=horse"
	const id = "X-KSC-Request-Id: "
	for name, response := range map[string]string{
		"code, inner code and message": "HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" + `{"Error":{"Code":"Invalid.` + secret + `","InnerCode":"` + secret + `","Message":"no ` + secret + `"}}`,
		"type and ID fields":           "HTTP/1.1 403 Forbidden\r\nX-KSC-ErrorType: " + secret + "\r\n" + id + secret + "\r\nContent-Length: %d\r\n\r\n",
		"ID of a success":              "HTTP/1.1 200 OK\r\n" + id + secret + "\r\nContent-Length: %d\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.client()
			req := "GET /?Action=ListMetrics HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: KSS AKLTfirst:c2ln\r\nX-Amz-Security-Token: " + secret + "\r\n\r\n"
			c.Send(req)
			up := r.upstream()
			up.Expect(req)
			_, body, _ := strings.Cut(response, "\r\n\r\n")
			whole := fmt.Sprintf(response, len(body))
			up.Deliver(whole, c)
			r.begun()
			v := r.observed().Verdict
			assert.NotContains(t, fmt.Sprintf("%s %s %s %s", v.Code, v.Inner, v.Message, v.RequestID), "canary", "verdict")
		})
	}
	t.Run("ID of a response that broke off", func(t *testing.T) {
		r := newRig(t)
		c := r.client()
		req := "GET / HTTP/1.1\r\nHost: " + host + "\r\nX-Amz-Security-Token: " + secret + "\r\n\r\n"
		c.Send(req)
		up := r.upstream()
		up.Expect(req)
		up.Send("HTTP/1.1 200 OK\r\n" + id + secret + "\r\nContent-Length: 9\r\n\r\n")
		up.Close()
		r.begun()
		if o := r.observed(); !o.Verdict.RequestID.IsZero() || o.Fault == classify.FaultNone {
			t.Errorf("fault %s, ID %s", o.Fault, o.Verdict.RequestID)
		}
	})
}

func TestActionInAFormBodyIsRead(t *testing.T) {
	const form = "Action=CreateAlarmPolicy&Version=2022-01-01&PolicyName=x"
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", host, len(form))
	t.Run("at once", func(t *testing.T) {
		r := newRig(t)
		c := r.client()
		c.Send(head + form)
		call := r.begun()
		assert.Equal(t, "CreateAlarmPolicy", call.Action, "begun %+v", call)
		up := r.upstream()
		up.Expect(head + form)
		up.Send(okResponse)
		o := r.observed()
		assert.Equal(t, "CreateAlarmPolicy", o.Call.Action, "observed %+v", o.Call)
	})
	t.Run("late", func(t *testing.T) {
		r := newRig(t)
		c := r.client()
		c.Send(head)
		begun := r.begun()
		up := r.upstream()
		up.Expect(head)
		c.Deliver(form, up)
		up.Send(okResponse)
		o := r.observed()
		if o.Call.Action != "CreateAlarmPolicy" || o.Call.Service != begun.Service {
			t.Errorf("begun %+v, observed %+v", begun, o.Call)
		}
	})
}

func TestFaults(t *testing.T) {
	wait := func(up *rawconn.Conn) { io.Copy(io.Discard, up) }
	for name, tt := range map[string]struct {
		act     func(c, up *rawconn.Conn)
		fault   classify.Fault
		outcome classify.Outcome
		status  int
		id      string
	}{
		"reset":     {func(_, up *rawconn.Conn) { up.Reset() }, classify.FaultReset, classify.OutcomeProxy, 0, ""},
		"closed":    {func(_, up *rawconn.Conn) { up.Close() }, classify.FaultClosed, classify.OutcomeProxy, 0, ""},
		"cut short": {func(_, up *rawconn.Conn) { up.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"); up.Close() }, classify.FaultClosed, classify.OutcomeProxy, 200, ""},
		"cut short, ID in a field": {func(_, up *rawconn.Conn) {
			up.Send("HTTP/1.1 200 OK\r\nX-KSC-REQUEST-ID: the-id\r\nContent-Length: 9\r\n\r\n")
			up.Close()
		}, classify.FaultClosed, classify.OutcomeProxy, 200, "the-id"},
		"cut short, ID in the body": {func(_, up *rawconn.Conn) {
			up.Send("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{\"RequestId\":\"the-id\"\r\n7\r\n,\"Err")
			up.Close()
		}, classify.FaultClosed, classify.OutcomeProxy, 500, "the-id"},
		"bad response": {func(_, up *rawconn.Conn) { up.Send("what?\n"); up.Close() }, classify.FaultBadResponse, classify.OutcomeProxy, 0, ""},
		"head too long": {func(c, up *rawconn.Conn) {
			up.Deliver("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 300_000)+"\r\nContent-Length: 2\r\n\r\n{}", c)
			up.Close()
		}, classify.FaultHeadTooLong, classify.OutcomeProxy, 0, ""},
		"canceled": {func(c, up *rawconn.Conn) { c.Reset(); wait(up) }, classify.FaultCanceled, classify.OutcomeCanceled, 0, ""},
		"timeout":  {func(_, up *rawconn.Conn) { wait(up) }, classify.FaultTimeout, classify.OutcomeProxy, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				if name == "timeout" {
					c.Timeouts.Response = 30 * time.Millisecond
				}
			})
			c := r.client()
			c.Send(request(host))
			up := r.upstream()
			up.Expect(request(host))
			tt.act(c, up)
			r.begun()
			o := r.observed()
			v := &o.Verdict
			if o.Fault != tt.fault || v.Outcome != tt.outcome || v.Status != tt.status || v.RequestID.String() != tt.id {
				t.Errorf("fault %q, outcome %q, status %d, ID %q", o.Fault, v.Outcome, v.Status, v.RequestID)
			}
			r.silent()
		})
	}
}

// moody is a sink that panics.
type moody struct{ recorder }

func (m moody) Begin(*classify.Call) { panic("begin") }
func (m moody) Observe(o *classify.Observation) {
	m.recorder.Observe(o)
	panic("observe")
}

func TestPanickingSinkDoesNoHarm(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Sink = moody{c.Sink.(recorder)} })
	c := r.client()
	var up *rawconn.Conn
	for i := range 3 {
		c.Send(request(host))
		if up == nil {
			up = r.upstream()
		}
		up.Expect(request(host))
		up.Deliver(okResponse, c)
		assert.Equal(t, classify.FaultNone, r.observed().Fault)
		if i == 2 {
			r.proxy.Shutdown(t.Context())
		}
	}
	assert.EqualValues(t, 6, r.proxy.Stats().Panics, "panics counted")
}

func TestShutdownIsObserved(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.Send(request(host))
	r.upstream().Expect(request(host))
	go r.cut()
	r.begun()
	assert.Equal(t, classify.FaultShutdown, r.observed().Fault)
	_, err := c.Read(make([]byte, 1))
	assert.Error(t, err, "the connection is open")
}

// BenchmarkCredential measures the name of the access key of each call on a connection
// whose program alternates between so many credentials.
func BenchmarkCredential(b *testing.B) {
	for _, n := range []int{1, 2, 4, 5} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := newProxy(b, Config{Classifier: classify.New(classify.DefaultCatalog()), Sink: nobody{}})
			h := newHandler(p, &proxyWay{}, netip.AddrPort{})
			keys := make([][]byte, n)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "AKLTbenchmark%07d", i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.hash(keys[i%n])
			}
		})
	}
}
