package relay

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

func TestMalformedRequestsAreRefused(t *testing.T) { eachDriver(t, testMalformedRequestsAreRefused) }

func testMalformedRequestsAreRefused(t *testing.T, newRig maker) {
	r := newRig(t)
	count := 0
	for status, requests := range http1test.MalformedRequests() {
		for name, req := range requests {
			count++
			t.Run(name, func(t *testing.T) {
				r.t = t
				// Alone, and behind a good request that it must not reach the
				// upstream with.
				dials := r.dials.Load()
				c := r.client()
				go c.Write([]byte(req)) // as much of it as is taken
				c.expectRefusal(status)
				if n := r.ends(EndRefused); n.began || n.upstreamKnown {
					t.Errorf("%+v", n)
				}
				require.Zero(t, r.dials.Load()-dials, "connections to the upstream")

				const good = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n"
				c = r.client()
				go c.Write([]byte(good + req))
				up := r.upstream()
				up.Expect(good)
				up.Deliver(okResponse, c)
				c.expectRefusal(status)
				up.ExpectNothing()
				r.ends(EndComplete)
				r.ends(EndRefused)
			})
		}
	}
	assert.GreaterOrEqual(t, count, 60, "only %d requests", count)
}

// expectRefusal wants a response of that status and the end of the connection.
func (p *peer) expectRefusal(status string) {
	p.t.Helper()
	p.Expect("HTTP/1.1 " + status + " Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	p.ExpectEnd()
}

func TestHeadOfExactlyTheLimitPasses(t *testing.T) { eachWay(t, testHeadOfExactlyTheLimitPasses) }

func testHeadOfExactlyTheLimitPasses(t *testing.T, newRig maker) {
	r := newRig(t)
	req := "GET / HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n"
	req = strings.Replace(req, "A: ", "A: "+strings.Repeat("v", 64<<10-len(req)), 1)
	r.pass([]string{req}, req, "GET")
}

func TestMalformedBodyAfterTheHeadWasSent(t *testing.T) {
	eachWay(t, testMalformedBodyAfterTheHeadWasSent)
}

func testMalformedBodyAfterTheHeadWasSent(t *testing.T, newRig maker) {
	r := newRig(t)
	c := r.client()
	c.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
	up := r.upstream()
	up.Expect("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
	c.Send("hello!GET / HTTP/1.1\r\n\r\n")
	up.ExpectReset()
	c.ExpectReset()
	r.ends(EndCanceled)
}

func TestRefusedButReadableRequestKeepsTheConnection(t *testing.T) {
	eachWay(t, testRefusedButReadableRequestKeepsTheConnection)
}

func testRefusedButReadableRequestKeepsTheConnection(t *testing.T, newRig maker) {
	r := newRig(t)
	refuse := true
	r.route = func(*Exchange) (Route, error) {
		if refuse {
			refuse = false
			return Route{}, errTest
		}
		return Route{Key: Key{Host: "h"}}, nil
	}
	c := r.client()
	c.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
	c.Expect("HTTP/1.1 400 Refused\r\nContent-Length: 0\r\n\r\n")
	const req = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	c.Send(req)
	up := r.upstream()
	up.Expect(req)
	up.Deliver(okResponse, c)
}

func TestEmptyLinesBeforeARequestArePassedOver(t *testing.T) {
	eachWay(t, testEmptyLinesBeforeARequestArePassedOver)
}

func testEmptyLinesBeforeARequestArePassedOver(t *testing.T, newRig maker) {
	const req = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, pieces := range [][]string{
		{"\r\n" + req},
		{"\r", "\n", req},
		{"\r\n", req},
		{"\r\n\r", "\n\r", "\n" + req},
		{strings.Repeat("\r\n", 10_000) + req},
		{"\r", strings.Repeat("\n\r", 10_000), "\n", req},
	} {
		r := newRig(t)
		c := r.client()
		for _, p := range pieces {
			c.Send(p)
		}
		up := r.upstream()
		up.Expect(req)
		up.Deliver(okResponse, c)
	}
}
