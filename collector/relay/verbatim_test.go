package relay

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

// splits are the ways a message is cut into writes.
var splits = map[string]func(s string) []string{
	"whole": func(s string) []string { return []string{s} },
	"bytes": func(s string) []string {
		if len(s) > 3000 { // the interesting bytes are at both ends
			head, tail := strings.Split(s[:1000], ""), strings.Split(s[len(s)-1000:], "")
			return append(append(head, s[1000:len(s)-1000]), tail...)
		}
		return strings.Split(s, "")
	},
	"within lines": func(s string) []string { return strings.SplitAfter(s, "\r") },
	"halves":       func(s string) []string { return []string{s[:len(s)/2], s[len(s)/2:]} },
	"last byte":    func(s string) []string { return []string{s[:len(s)-1], s[len(s)-1:]} },
}

// splits returns how what is sent is split: where TLS splits it once more, the
// simulation has tried all else.
func (r *rig) splits() map[string]func(string) []string {
	if r.tls != nil {
		return map[string]func(string) []string{"halves": splits["halves"]}
	}
	return splits
}

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// pass sends request in pieces and wants the upstream to get want, and the
// response to come back.
func (r *rig) pass(pieces []string, want, method string) {
	r.t.Helper()
	c := r.client()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, p := range pieces {
			c.Write([]byte(p))
		}
	}()
	up := r.upstream()
	up.Expect(want)
	<-sent
	response := okResponse
	if method == "HEAD" {
		response = strings.TrimSuffix(okResponse, "ok")
	}
	up.Deliver(response, c)
	n := r.ends(EndComplete)
	if n.reqBytes != int64(len(strings.Join(pieces, ""))) || n.respBytes != int64(len(response)) {
		r.t.Fatalf("counted %d and %d bytes, want %d and %d", n.reqBytes, n.respBytes, len(strings.Join(pieces, "")), len(response))
	}
	if strings.Contains(strings.ToLower(want), "chunked") {
		c.Close()
		up.Close()
		return
	}
	_, body, _ := strings.Cut(want, "\r\n\r\n")
	if body = body[:min(len(body), 64<<10)]; !strings.HasPrefix(body, n.reqBody) || n.reqWhole && n.reqBody != body {
		r.t.Fatalf("shown body %.100q (whole: %v), want %.100q", n.reqBody, n.reqWhole, body)
	}
	c.Close()
	up.Close()
}

func TestRequestsPassVerbatim(t *testing.T) { eachDriver(t, testRequestsPassVerbatim) }

func testRequestsPassVerbatim(t *testing.T, newRig maker) {
	requests := http1test.LegalRequests()
	assert.GreaterOrEqual(t, len(requests), 100, "only %d requests", len(requests))
	r := newRig(t)
	for name, req := range requests {
		t.Run(name, func(t *testing.T) {
			r.t = t
			method, rest, _ := strings.Cut(req, " ")
			for how, split := range r.splits() {
				r.pass(split(req), req, method)
				require.False(t, t.Failed(), "in origin form, split: %s", how)
				if strings.HasPrefix(rest, "*") {
					continue
				}
				r.pass(split(method+" http://Target.example:8080"+rest), req, method)
			}
		})
	}
}

func TestAbsoluteFormBecomesOrigin(t *testing.T) { eachWay(t, testAbsoluteFormBecomesOrigin) }

func testAbsoluteFormBecomesOrigin(t *testing.T, newRig maker) {
	for target, want := range map[string]string{
		"GET http://h":                    "GET /",
		"GET http://h/":                   "GET /",
		"GET HTTP://H:80/x?y":             "GET /x?y",
		"GET https://h/x":                 "GET /x",
		"GET http://h?a=b":                "GET /?a=b",
		"GET http://[::1]:81//x":          "GET //x",
		"GET http://h/http://i/":          "GET /http://i/",
		"OPTIONS http://h":                "OPTIONS *",
		"OPTIONS http://h/":               "OPTIONS /",
		"OPTIONS http://h?x":              "OPTIONS /?x",
		"LONGERTHANTHEAUTHORITY http://h": "LONGERTHANTHEAUTHORITY /",
	} {
		r := newRig(t)
		rest := " HTTP/1.1\r\nHost: other\r\nA: b\r\n\r\n"
		r.pass([]string{target + rest}, want+rest, "")
	}
}

func TestFieldsForAProxyStay(t *testing.T) { eachWay(t, testFieldsForAProxyStay) }

func testFieldsForAProxyStay(t *testing.T, newRig maker) {
	tests := []struct{ name, fields, keep, want string }{
		{"proxy-connection", "Proxy-Connection: Keep-Alive\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"proxy credentials", "Proxy-Authorization: Basic eDp5\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"upgrade", "Upgrade: websocket\r\nConnection: Upgrade\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"h2c", "A: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nConnection: Upgrade, HTTP2-Settings\r\nB: 2\r\n", "", "A: 1\r\nB: 2\r\n"},
		{"signed", "Proxy-Connection: x\r\nA: 1\r\n", "proxy-connection;host", "Proxy-Connection: x\r\nA: 1\r\n"},
		{"signed offer", "Upgrade: x\r\nConnection: Upgrade\r\n", "upgrade", "Upgrade: x\r\nConnection: Upgrade\r\n"},
		{"signed credentials", "Proxy-Authorization: secret\r\n", "proxy-authorization", ""},
		{"the connection's own", "Connection: close\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n", "", "Connection: close\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"},
		{"named", "X-One: 1\r\nConnection: x-ONE , close,, x-two\r\n", "", "X-One: 1\r\nConnection: x-ONE , close,, x-two\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, target := range []string{"/x", "http://h/x"} {
				r := newRig(t)
				r.route = func(*Exchange) (Route, error) {
					return Route{Key: Key{Host: "h"}, Keep: []byte(tt.keep)}, nil
				}
				req := "POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: 2\r\n\r\nhi"
				r.pass([]string{fmt.Sprintf(req, target, tt.fields)}, fmt.Sprintf(req, "/x", tt.want), "")
			}
		})
	}
}

func TestResponsesPassVerbatim(t *testing.T) { eachDriver(t, testResponsesPassVerbatim) }

func testResponsesPassVerbatim(t *testing.T, newRig maker) {
	r := newRig(t)
	for name, resp := range http1test.LegalResponses() {
		t.Run(name, func(t *testing.T) {
			r.t = t
			for how, split := range r.splits() {
				c := r.client()
				method := "GET"
				if strings.HasPrefix(name, "HEAD") {
					method = "HEAD"
				}
				c.Send(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				up := r.upstream()
				up.Expect(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				go func() {
					for _, p := range split(resp) {
						up.Write([]byte(p))
					}
					if strings.HasPrefix(name, "until close") {
						up.Close()
					}
				}()
				c.Expect(resp)
				if strings.HasPrefix(name, "until close") {
					c.ExpectEnd()
				}
				n := r.ends(EndComplete)
				if n.respBytes != int64(len(resp)) || !n.firstByte || !n.upstreamKnown {
					t.Fatalf("split %s: %+v", how, n)
				}
			}
		})
	}
}

// TestKeepOutlivesTheRequestsMemory names fields to keep by a part of the
// request itself, which by the time it is sent has moved within its memory, and
// out of it.
func TestKeepOutlivesTheRequestsMemory(t *testing.T) {
	const list = "host;proxy-connection;keep-alive"
	body := strings.Repeat("x", smallBuffer)
	head := func(more string) string {
		return "POST / HTTP/1.1\r\nHost: h\r\nProxy-Connection: a\r\nKeep-Alive: b\r\nAuthorization: " + list + "\r\n" + more +
			"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	r := newRig(t)
	r.route = func(x *Exchange) (Route, error) {
		return Route{Key: Key{Host: "h"}, Keep: x.Request.Get("Authorization")}, nil
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", r.back.Addr().String())
	}
	r.dial = func(ctx context.Context) (net.Conn, error) {
		// Others use the memory that the request has left.
		for range 4 {
			b := r.srv.bufs.getSmall()
			for i := range b.b {
				b.b[i] = '!'
			}
			defer r.srv.bufs.put(b)
		}
		return dial(ctx)
	}
	for range 8 { // the pool forgets some of what it is given
		c := r.client()
		c.Send(head("Proxy-Authorization: x\r\n"))
		r.upstream().Expect(head(""))
		c.Close()
	}
}
