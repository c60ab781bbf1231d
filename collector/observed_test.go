package collector

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// content is what an observation shows of an attempt, which is not copied with it.
type content struct {
	request, response, tail, asked, answered string
}

// contents is a sink that keeps the content of observations.
type contents chan content

func (c contents) Begin(*classify.Call) {}

func (c contents) Observe(o *classify.Observation) {
	c <- content{
		string(o.RequestBody), string(o.ResponseBody), string(o.ResponseTail),
		string(o.RequestHeader.Get("X-Asked")), string(o.ResponseHeader.Get("X-Answered")),
	}
}

// TestContentIsObserved has bodies of different lengths: of a long response, the end is shown,
// too.
func TestContentIsObserved(t *testing.T) {
	sink := make(contents, 1)
	r := newRig(t, func(c *Config) { c.Sink, c.InspectBytes = sink, 1000 })
	c := r.client()
	up := (*rawconn.Conn)(nil)
	for _, n := range []int{0, 1, 1000, 1001, 1000 + classify.TailBytes, 200_000} {
		body := strings.Repeat("0123456789abcde", n/15+1)[:n]
		req := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nX-Asked: a\r\nContent-Length: %d\r\n\r\n%s", host, n, body)
		c.Send(req)
		if up == nil {
			up = r.upstream()
		}
		up.Expect(req)
		up.Deliver(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Answered: b\r\nContent-Length: %d\r\n\r\n%s", n, body), c)
		begin := body[:min(n, 1000)]
		got := rawconn.Receive(t, sink, "nothing was observed")
		assert.Equal(t, content{begin, begin, body[max(len(begin), n-classify.TailBytes):], "a", "b"}, got, "%d bytes", n)
	}
}

// TestTimesOfAttempts has a response come in two parts.
func TestTimesOfAttempts(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver func(*Config)) {
		r := newRig(t, driver)
		c := r.client()
		c.Send(request(host))
		up := r.upstream()
		up.Expect(request(host))
		sent := time.Now()
		up.Deliver(okResponse[:len(okResponse)-1], c)
		half := time.Now()
		up.Deliver(okResponse[len(okResponse)-1:], c)
		r.begun()
		o := r.observed()
		for i, at := range []time.Time{o.Start, sent, o.FirstByte, half} {
			next := []time.Time{sent, o.FirstByte, half, o.End}[i]
			assert.False(t, next.Before(at), "time %d is %v, and the next one %v", i, at, next)
		}
	})
}

// TestEarlyResponseIsNoUnreadRequest answers a request of whose body nothing was sent: there
// was nothing to inspect.
func TestEarlyResponseIsNoUnreadRequest(t *testing.T) {
	r := newRig(t)
	req := "POST /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 5\r\n\r\n"
	c := r.client()
	c.Send(req)
	up := r.upstream()
	up.Expect(req)
	up.Deliver(okResponse, c)
	r.begun()
	assert.Equal(t, classify.UnreadNone, r.observed().Call.Unread)
}

// TestRefusedRequestIsObserved has a request that cannot be read, one to a host that is not
// served, and one whose upstream is not reached.
func TestRefusedRequestIsObserved(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.Send("GET / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: +1\r\n\r\n")
	o := r.observed()
	assert.Equal(t, classify.FaultBadRequest, o.Fault)
	assert.Contains(t, o.Verdict.Message, "ksyun-tap cannot forward the request: ")

	r = newRig(t)
	c = r.client()
	c.Send(request("other.example"))
	o = r.observed()
	assert.Equal(t, classify.FaultHostRefused, o.Fault)
	assert.Equal(t, "other.example", o.Call.Host)

	r = newRig(t, func(c *Config) { c.Policy.ConnectTo[0] = connectTo(t, host+":80="+rawconn.Nowhere) })
	c = r.client()
	c.Send(request(host))
	assert.Equal(t, host, r.begun().Host)
	o = r.observed()
	assert.Equal(t, classify.FaultConnRefused, o.Fault)
	assert.Equal(t, host, o.Call.Host)
	assert.NotEmpty(t, o.Verdict.Message)
}

// TestOneSinkForAnAttempt has another sink be chosen for a program while its call runs.
func TestOneSinkForAnAttempt(t *testing.T) {
	first, second := make(recorder, 4), make(recorder, 4)
	sinks := make(chan classify.Sink, 2)
	sinks <- first
	sinks <- second
	r := newRig(t, func(c *Config) {
		c.SinkFor = func(netip.AddrPort) classify.Sink { return <-sinks }
	})
	c := r.client()
	c.Send(request(host))
	up := r.upstream()
	up.Expect(request(host))
	up.Deliver(okResponse, c)
	require.NotNil(t, rawconn.Receive(t, first, "the call does not begin").call)
	require.NotNil(t, rawconn.Receive(t, first, "the call is not observed where it began").obs)
	assert.Empty(t, second)
}

// TestFieldOfABrokenHead finds a field only if its line is complete.
func TestFieldOfABrokenHead(t *testing.T) {
	for head, want := range map[string]string{
		"":                               "",
		"HTTP/1.1 500 X\r\n":             "",
		"HTTP/1.1 500 X\r\nX-Id: a\r\n":  "a",
		"HTTP/1.1 500 X\r\nx-id:a \r\nB": "a",
		"HTTP/1.1 500 X\r\nX-Id: a\n":    "a",
		"HTTP/1.1 500 X\r\nX-Id: a\r":    "",
		"HTTP/1.1 500 X\r\nX-Id: a":      "",
		"HTTP/1.1 500 X\r\nX-Ids: a\r\n": "",
	} {
		assert.Equal(t, want, string(brokenField([]byte(head), "X-Id")), "%q", head)
	}
}
