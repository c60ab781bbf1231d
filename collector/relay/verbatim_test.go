package relay

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
)

// legalRequests are requests in origin form that must arrive as they are.
// TARGET marks where the target begins, for the absolute form.
func legalRequests() map[string]string {
	const host = "Host: h\r\n"
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + host + "\r\n" }
	fields := func(f string) string { return "GET / HTTP/1.1\r\n" + host + f + "\r\n\r\n" }
	post := func(f, body string) string { return "POST / HTTP/1.1\r\n" + host + f + "\r\n\r\n" + body }
	chunked := func(body string) string { return post("Transfer-Encoding: chunked", body) }

	m := map[string]string{
		"plain":                    get("/"),
		"path":                     get("/v3/"),
		"double slash":             get("//"),
		"double slash within":      get("/a//b"),
		"empty query":              get("/?"),
		"two question marks":       get("/??a=?b"),
		"query order":              get("/?b=2&a=1&b=1"),
		"query without value":      get("/?a&b=&=c&&"),
		"plus and space":           get("/?a=b+c%20d"),
		"lower percent":            get("/%7euser/%e4%bd%a0"),
		"upper percent":            get("/%7Euser/%E4%BD%A0"),
		"needless percent":         get("/%61%2f%2F"),
		"broken percent":           get("/%zz%"),
		"semicolons":               get("/?a=1;b=2;"),
		"reserved":                 get("/!$&'()*+,;=:@/-._~"),
		"unwise":                   get("/{}|\\^`\"<>[]"),
		"bytes above ascii":        get("/\xe4\xbd\xa0?\xff=\x80"),
		"dots":                     get("/a/./../b/.."),
		"colon":                    get("/http://other/"),
		"hash":                     get("/a#b"),
		"star path":                get("/*"),
		"long target":              get("/" + strings.Repeat("a", 20000)),
		"presigned":                get("/?X-Amz-SignedHeaders=host%3Bx-amz-date&X-Amz-Signature=00ff"),
		"http 1.0":                 "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
		"http 1.0 post":            "POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"lower case host":          "GET / HTTP/1.1\r\nhost: h\r\n\r\n",
		"upper case host":          "GET / HTTP/1.1\r\nHOST:h\r\n\r\n",
		"host last":                "GET / HTTP/1.1\r\nA: b\r\nHost: h\r\n\r\n",
		"host with port":           "GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n",
		"host with empty port":     "GET / HTTP/1.1\r\nHost: h:\r\n\r\n",
		"host upper case":          "GET / HTTP/1.1\r\nHost: Monitor.API.ksyun.COM\r\n\r\n",
		"host v6":                  "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",
		"host with tabs":           "GET / HTTP/1.1\r\nHost:\t h \t\r\n\r\n",
		"odd field case":           fields("x-AMZ-dAtE: 20260101T000000Z"),
		"no space":                 fields("A:b"),
		"many spaces":              fields("A:    b    "),
		"tabs":                     fields("A:\tb\t"),
		"blanks within":            fields("A: b  \t c"),
		"empty value":              fields("A:"),
		"blank value":              fields("A:   "),
		"colon in value":           fields("A: :b:c:"),
		"duplicate fields":         fields("A: 1\r\nA: 2\r\na: 3"),
		"duplicates apart":         fields("A: 1\r\nB: 2\r\nA: 3"),
		"obs-text value":           fields("A: \xe4\xbd\xa0\xff"),
		"token name":               fields("!#$%&'*+-.^_`|~9: x"),
		"one letter name":          fields("a: x"),
		"long name":                fields(strings.Repeat("n", 5000) + ": x"),
		"long value":               fields("A: " + strings.Repeat("v", 30000)),
		"many fields":              fields(strings.Repeat("A: b\r\n", 1000) + "Z: z"),
		"quotes":                   fields(`A: "b\"c`),
		"accept encoding":          fields("Accept-Encoding: gzip;q=0.5, *;q=0"),
		"authorization":            fields("Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host;host, Signature=0"),
		"via and forwarded":        fields("Via: 1.1 x\r\nForwarded: for=1\r\nX-Forwarded-For: 1"),
		"te-like names":            fields("TEA: x\r\nUpgrades: y\r\nConnections: z\r\nKeep-Alives: q"),
		"cookie":                   fields("Cookie: a=b; c=d\r\nCookie: e=f"),
		"trailer field":            fields("Trailer: A"),
		"expect other":             fields("Expect: something"),
		"http2 settings":           fields("HTTP2-Settings: AAMA"),
		"zero length":              post("Content-Length: 0", ""),
		"length":                   post("Content-Length: 5", "hello"),
		"length with zeros":        post("Content-Length: 0005", "hello"),
		"length odd case":          post("cOnTeNt-LeNgTh:5", "hello"),
		"length with blanks":       post("Content-Length: \t 5 \t", "hello"),
		"binary body":              post("Content-Length: 6", "\x00\r\n\xff\r\n"),
		"body like a request":      post("Content-Length: 28", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
		"gzip body":                post("Content-Encoding: gzip\r\nContent-Length: 3", "\x1f\x8b\x08"),
		"body of 8 KiB":            post("Content-Length: 8192", strings.Repeat("b", 8192)),
		"body of 64 KiB":           post("Content-Length: 65536", strings.Repeat("b", 65536)),
		"body of 300 KiB":          post("Content-Length: 307200", strings.Repeat("0123456789abcdef", 19200)),
		"get with body":            "GET / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nab",
		"delete with body":         "DELETE / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nab",
		"chunked empty":            chunked("0\r\n\r\n"),
		"chunked":                  chunked("5\r\nhello\r\n0\r\n\r\n"),
		"chunked many":             chunked(strings.Repeat("1\r\nx\r\n", 3000) + "0\r\n\r\n"),
		"chunked upper hex":        chunked("A\r\n0123456789\r\n0\r\n\r\n"),
		"chunked lower hex":        chunked("a\r\n0123456789\r\n0\r\n\r\n"),
		"chunked zeros":            chunked("000A;ext=\"x\"\r\n0123456789\r\n000\r\n\r\n"),
		"chunked extension":        chunked("1;a=b;c\r\nx\r\n0;last\r\n\r\n"),
		"chunked extension blanks": chunked("1; a = b\r\nx\r\n0\r\n\r\n"),
		"chunked extension odd":    chunked("1;\r\nx\r\n0;;\r\n\r\n"),
		"chunked long extension":   chunked("1;" + strings.Repeat("e", 4000) + "\r\nx\r\n0\r\n\r\n"),
		"chunked trailers":         chunked("1\r\nx\r\n0\r\nA: b\r\nC:d\r\n\r\n"),
		"chunked empty trailer":    chunked("0\r\nA:\r\n\r\n"),
		"chunked crlf data":        chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"),
		"chunked like the end":     chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
		"chunked large chunk":      chunked("30000\r\n" + strings.Repeat("c", 0x30000) + "\r\n0\r\n\r\n"),
		"chunked odd case":         post("TRANSFER-encoding:\tChunked", "1\r\nx\r\n0\r\n\r\n"),
		"options star":             "OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "PROPFIND", "get", "Post", "M-SEARCH", "!", strings.Repeat("M", 300)} {
		m["method "+method] = method + " / HTTP/1.1\r\n" + host + "\r\n"
	}
	return m
}

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

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// pass sends request in pieces and wants the upstream to get want, and the
// answer to come back.
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
	up.expect(want)
	<-sent
	answer := okResponse
	if method == "HEAD" {
		answer = strings.TrimSuffix(okResponse, "ok")
	}
	up.send(answer)
	c.expect(answer)
	n := r.ends(EndComplete)
	if n.reqBytes != int64(len(strings.Join(pieces, ""))) || n.respBytes != int64(len(answer)) {
		r.t.Fatalf("counted %d and %d bytes, want %d and %d", n.reqBytes, n.respBytes, len(strings.Join(pieces, "")), len(answer))
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

func TestRequestsPassVerbatim(t *testing.T) { eachWay(t, testRequestsPassVerbatim) }

func testRequestsPassVerbatim(t *testing.T, newRig maker) {
	requests := legalRequests()
	if len(requests) < 100 {
		t.Errorf("only %d requests", len(requests))
	}
	for name, req := range requests {
		t.Run(name, func(t *testing.T) {
			method, rest, _ := strings.Cut(req, " ")
			for how, split := range splits {
				r := newRig(t)
				r.pass(split(req), req, method)
				if t.Failed() {
					t.Fatalf("in origin form, split: %s", how)
				}
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
		"GET http://h#f":                  "GET /#f",
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

func TestHopByHopFieldsStay(t *testing.T) { eachWay(t, testHopByHopFieldsStay) }

func testHopByHopFieldsStay(t *testing.T, newRig maker) {
	tests := []struct{ name, fields, keep, want string }{
		{"connection", "A: 1\r\nConnection: keep-alive\r\nB: 2\r\n", "", "A: 1\r\nB: 2\r\n"},
		{"first", "Connection: close\r\nB: 2\r\n", "", "B: 2\r\n"},
		{"odd case", "cONNECTION:close\r\n", "", ""},
		{"proxy-connection", "Proxy-Connection: Keep-Alive\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"keep-alive", "Keep-Alive: timeout=5\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"te", "TE: trailers\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"upgrade", "Upgrade: h2c\r\nConnection: Upgrade\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"proxy credentials", "Proxy-Authorization: Basic eDp5\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"proxy challenge", "Proxy-Authenticate: Basic\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"named", "X-One: 1\r\nConnection: x-ONE , close,, x-two\r\nX-Two: 2\r\nX-Three: 3\r\n", "", "X-Three: 3\r\n"},
		{"named twice", "X: 1\r\nConnection: x\r\nX: 2\r\nConnection: y\r\nY: 3\r\n", "", ""},
		{"named, not there", "Connection: nothing\r\nA: 1\r\n", "", "A: 1\r\n"},
		{"named trailer", "Connection: te, Trailer\r\nTrailer: A\r\nTE: trailers\r\n", "", "Trailer: A\r\n"},
		{"signed", "Connection: keep-alive\r\nTE: x\r\nA: 1\r\n", "connection;host", "Connection: keep-alive\r\nA: 1\r\n"},
		{"signed and named", "Connection: x\r\nX: 1\r\n", "x", "X: 1\r\n"},
		{"signed credentials", "Proxy-Authorization: secret\r\n", "proxy-authorization", ""},
		{"all of them", "Connection: a\r\nA: 1\r\nTE: x\r\nKeep-Alive: y\r\nUpgrade: z\r\n", "", ""},
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

// legalResponses are answers that must arrive as they are. Those that begin
// with a method are answers to that.
func legalResponses() map[string]string {
	ok := func(f, body string) string { return "HTTP/1.1 200 OK\r\n" + f + "\r\n" + body }
	chunked := func(body string) string { return ok("Transfer-Encoding: chunked\r\n", body) }
	m := map[string]string{
		"length":                 ok("Content-Length: 2\r\n", "ok"),
		"zero length":            ok("Content-Length: 0\r\n", ""),
		"length with zeros":      ok("Content-Length: 002\r\n", "ok"),
		"no reason":              "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
		"no reason, no blank":    "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		"odd reason":             "HTTP/1.1 200 All \xe4 right!\tyes\r\nContent-Length: 0\r\n\r\n",
		"odd status":             "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n",
		"status 999":             "HTTP/1.1 999 Far\r\nContent-Length: 0\r\n\r\n",
		"fields":                 ok("x-KSC-request-id:  a\r\nX:\r\nX: \t\r\nContent-Length: 0\r\nDATE:now\r\n", ""),
		"duplicate fields":       ok("Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n", ""),
		"obs-text":               ok("A: \xff\xfe\r\nContent-Length: 0\r\n", ""),
		"long field":             ok("A: "+strings.Repeat("v", 40000)+"\r\nContent-Length: 0\r\n", ""),
		"many fields":            ok(strings.Repeat("A: b\r\n", 2000)+"Content-Length: 0\r\n", ""),
		"body 8 KiB":             ok("Content-Length: 8192\r\n", strings.Repeat("b", 8192)),
		"body 60 KiB":            ok("Content-Length: 61440\r\n", strings.Repeat("b", 61440)),
		"body 1 MiB":             ok("Content-Length: 1048576\r\n", strings.Repeat("0123456789abcdef", 65536)),
		"long head, long body":   ok("A: "+strings.Repeat("v", 60000)+"\r\nContent-Length: 200000\r\n", strings.Repeat("b", 200000)),
		"gzip":                   ok("Content-Encoding: gzip\r\nContent-Length: 3\r\n", "\x1f\x8b\x08"),
		"chunked":                chunked("2\r\nok\r\n0\r\n\r\n"),
		"chunked empty":          chunked("0\r\n\r\n"),
		"chunked extensions":     chunked("0002;a=\"b\"\r\nok\r\n0;x\r\n\r\n"),
		"chunked trailers":       chunked("2\r\nok\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n"),
		"chunked many":           chunked(strings.Repeat("3\r\nabc\r\n", 5000) + "0\r\n\r\n"),
		"chunked large":          chunked("40000\r\n" + strings.Repeat("c", 0x40000) + "\r\n0\r\n\r\n"),
		"chunked odd case":       ok("transfer-ENCODING: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n"),
		"100":                    "HTTP/1.1 100 Continue\r\n\r\n" + okResponse,
		"103":                    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nLink:</y>\r\n\r\n" + okResponse,
		"several interim":        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" + okResponse,
		"interim with length":    "HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n" + okResponse,
		"204":                    "HTTP/1.1 204 No Content\r\n\r\n",
		"204 with length":        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"304":                    "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
		"400":                    "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad",
		"409":                    "HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nbad",
		"412":                    "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n",
		"500":                    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbad",
		"503 retry":              "HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
		"redirect":               "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
		"HEAD with length":       ok("Content-Length: 500\r\n", ""),
		"HEAD chunked":           ok("Transfer-Encoding: chunked\r\n", ""),
		"HEAD bare":              ok("", ""),
		"http 1.0 with length":   "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"until close":            ok("", "all that comes"),
		"until close, empty":     ok("", ""),
		"until close, long":      ok("A: b\r\n", strings.Repeat("0123456789", 50000)),
		"until close, http 1.0":  "HTTP/1.0 200 OK\r\n\r\nall that comes",
		"until close, error":     "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>",
		"until close, odd bytes": ok("", "\r\n\r\n\x00HTTP/1.1 200 OK\r\n\r\n"),
	}
	return m
}

func TestResponsesPassVerbatim(t *testing.T) { eachWay(t, testResponsesPassVerbatim) }

func testResponsesPassVerbatim(t *testing.T, newRig maker) {
	for name, resp := range legalResponses() {
		t.Run(name, func(t *testing.T) {
			for how, split := range splits {
				r := newRig(t)
				c := r.client()
				method := "GET"
				if strings.HasPrefix(name, "HEAD") {
					method = "HEAD"
				}
				c.send(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				up := r.upstream()
				up.expect(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				go func() {
					for _, p := range split(resp) {
						up.Write([]byte(p))
					}
					if strings.HasPrefix(name, "until close") {
						up.Close()
					}
				}()
				c.expect(resp)
				if strings.HasPrefix(name, "until close") || strings.Contains(name, "1.0") {
					c.expectEnd()
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
		c.send(head("Connection: close\r\nTE: trailers\r\n"))
		r.upstream().expect(head(""))
		c.Close()
	}
}
