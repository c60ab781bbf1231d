package relay

import (
	"io"
	"strings"
	"testing"
)

// malformedRequests are what must be refused, by the status they are refused
// with.
func malformedRequests() map[string]map[string]string {
	const host = "Host: h\r\n"
	line := func(l string) string { return l + "\r\n" + host + "\r\n" }
	fields := func(f string) string { return "GET / HTTP/1.1\r\n" + host + f + "\r\n\r\n" }
	post := func(f, body string) string { return "POST / HTTP/1.1\r\n" + host + f + "\r\n\r\n" + body }
	chunked := func(body string) string { return post("Transfer-Encoding: chunked", body) }
	return map[string]map[string]string{"400": {
		"tls hello":                  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"garbage":                    "\x00\x01\x02\x03",
		"bare lf only":               "\n",
		"two empty lines":            "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n",
		"blank first":                " GET / HTTP/1.1\r\n" + host + "\r\n",
		"http/0.9":                   "GET /\r\n",
		"no target":                  line("GET HTTP/1.1"),
		"no target, two blanks":      line("GET  HTTP/1.1"),
		"two blanks":                 line("GET  / HTTP/1.1"),
		"tab":                        line("GET\t/ HTTP/1.1"),
		"two blanks before version":  line("GET /  HTTP/1.1"),
		"blank after version":        line("GET / HTTP/1.1 "),
		"blank in target":            line("GET /a b HTTP/1.1"),
		"tab in target":              line("GET /a\tb HTTP/1.1"),
		"nul in target":              line("GET /\x00 HTTP/1.1"),
		"del in target":              line("GET /\x7f HTTP/1.1"),
		"cr in target":               line("GET /\rX HTTP/1.1"),
		"method not a token":         line("G(T / HTTP/1.1"),
		"method with colon":          line("GET: / HTTP/1.1"),
		"lower case http":            line("GET / http/1.1"),
		"http/2":                     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"http/1.2":                   line("GET / HTTP/1.2"),
		"http/1.10":                  line("GET / HTTP/1.10"),
		"http/01.1":                  line("GET / HTTP/01.1"),
		"http/1,1":                   line("GET / HTTP/1,1"),
		"relative target":            line("GET index.html HTTP/1.1"),
		"empty scheme":               line("GET ://h/ HTTP/1.1"),
		"other scheme":               line("GET ftp://h/ HTTP/1.1"),
		"no authority":               line("GET http:///x HTTP/1.1"),
		"scheme alone":               line("GET http:// HTTP/1.1"),
		"user information":           line("GET http://user:secret@h/ HTTP/1.1"),
		"percent in authority":       line("GET http://%68/ HTTP/1.1"),
		"bad port in target":         line("GET http://h:99999/ HTTP/1.1"),
		"port 0":                     line("GET http://h:0/ HTTP/1.1"),
		"word as port":               line("GET http://h:http/ HTTP/1.1"),
		"backslash in authority":     line("GET http://h\\@i/ HTTP/1.1"),
		"open bracket":               line("GET http://[::1/ HTTP/1.1"),
		"zone":                       line("GET http://[fe80::1%25eth0]/ HTTP/1.1"),
		"star with GET":              line("GET * HTTP/1.1"),
		"connect without port":       line("CONNECT h HTTP/1.1"),
		"connect with path":          line("CONNECT /x HTTP/1.1"),
		"no host":                    "GET / HTTP/1.1\r\nA: b\r\n\r\n",
		"no host, absolute":          "GET http://h/ HTTP/1.1\r\n\r\n",
		"two hosts":                  fields("Host: i"),
		"two same hosts":             fields("hOST: h"),
		"host list":                  "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n",
		"host with user":             "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n",
		"host with path":             "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
		"host with blank":            "GET / HTTP/1.1\r\nHost: h i\r\n\r\n",
		"host with bad port":         "GET / HTTP/1.1\r\nHost: h:8a\r\n\r\n",
		"host port alone":            "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
		"bad host in http 1.0":       "GET / HTTP/1.0\r\nHost: h/x\r\n\r\n",
		"bare lf after request line": "GET / HTTP/1.1\n" + host + "\r\n",
		"bare lf after field":        "GET / HTTP/1.1\r\nHost: h\n\r\n",
		"bare lf at the end":         "GET / HTTP/1.1\r\nHost: h\r\n\n",
		"bare cr in value":           fields("A: b\rC: d"),
		"cr cr lf":                   fields("A: b\r"),
		"nul in value":               fields("A: b\x00c"),
		"control in value":           fields("A: b\x0bc"),
		"del in value":               fields("A: \x7f"),
		"nul in name":                fields("A\x00: b"),
		"blank before colon":         fields("A : b"),
		"tab before colon":           fields("Content-Length\t: 5"),
		"blank in name":              fields("A B: c"),
		"no colon":                   fields("A"),
		"empty name":                 fields(": b"),
		"name above ascii":           fields("\xc3\xa4: b"),
		"name with parenthesis":      fields("A(: b"),
		"folded":                     fields("A: b\r\n c"),
		"folded with tab":            fields("A: b\r\n\tc"),
		"blank before first field":   "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
		"folded framing":             post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"),
		"both framings":              post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
		"both, the other way":        post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
		"both, length 0":             post("Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
		"two lengths":                post("Content-Length: 5\r\nContent-Length: 6", "hello"),
		"two same lengths":           post("Content-Length: 5\r\ncontent-length: 5", "hello"),
		"list of lengths":            post("Content-Length: 5, 5", "hello"),
		"empty length":               post("Content-Length:", ""),
		"negative length":            post("Content-Length: -1", ""),
		"signed length":              post("Content-Length: +5", "hello"),
		"hex length":                 post("Content-Length: 0x5", "hello"),
		"length with point":          post("Content-Length: 5.0", "hello"),
		"length with blank":          post("Content-Length: 1 0", "hello"),
		"length with underscore":     post("Content-Length: 1_0", "hello"),
		"huge length":                post("Content-Length: 9223372036854775808", ""),
		"length in other digits":     post("Content-Length: \xd9\xa5", "hello"),
		"two codings":                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
		"coding and identity":        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
		"chunked in http 1.0":        "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"connection names length":    post("Connection: content-length\r\nContent-Length: 5", "hello"),
		"connection names coding":    post("Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
		"connection names host":      fields("Connection: host"),
		"chunk size missing":         chunked("\r\nhello\r\n0\r\n\r\n"),
		"chunk size of letters":      chunked("xyz\r\n"),
		"chunk size signed":          chunked("+5\r\nhello\r\n0\r\n\r\n"),
		"chunk size negative":        chunked("-5\r\nhello\r\n0\r\n\r\n"),
		"chunk size 0x":              chunked("0x5\r\nhello\r\n0\r\n\r\n"),
		"chunk size blank before":    chunked(" 5\r\nhello\r\n0\r\n\r\n"),
		"chunk size blank after":     chunked("5 \r\nhello\r\n0\r\n\r\n"),
		"chunk size tab":             chunked("5\t;a\r\nhello\r\n0\r\n\r\n"),
		"chunk size overflows":       chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"),
		"chunk size above int64":     chunked("8000000000000005\r\nhello\r\n0\r\n\r\n"),
		"chunk size too many zeros":  chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"),
		"chunk line bare lf":         chunked("5\nhello\r\n0\r\n\r\n"),
		"chunk line bare cr":         chunked("5\rhello\r\n0\r\n\r\n"),
		"chunk extension bare lf":    chunked("5;a\nhello\r\n0\r\n\r\n"),
		"chunk extension cr":         chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"),
		"chunk extension nul":        chunked("5;\x00\r\nhello\r\n0\r\n\r\n"),
		"chunk extension endless":    chunked("5;" + strings.Repeat("e", 5000) + "\r\nhello\r\n0\r\n\r\n"),
		"chunk too short":            chunked("5\r\nhell\r\n0\r\n\r\n"),
		"chunk too long":             chunked("5\r\nhello!\r\n0\r\n\r\n"),
		"chunk end bare lf":          chunked("5\r\nhello\n0\r\n\r\n"),
		"chunk end missing":          chunked("5\r\nhello0\r\n\r\n"),
		"chunk end two bytes":        chunked("5\r\nhelloXX0\r\n\r\n"),
		"last chunk bare lf":         chunked("0\n\n"),
		"end bare lf":                chunked("0\r\n\n"),
		"trailer without colon":      chunked("0\r\nA\r\n\r\n"),
		"trailer folded":             chunked("0\r\nA: b\r\n c\r\n\r\n"),
		"trailer blank before colon": chunked("0\r\nA : b\r\n\r\n"),
		"trailer bare lf":            chunked("0\r\nA: b\n\r\n"),
		"trailer nul":                chunked("0\r\nA: \x00\r\n\r\n"),
		"trailer empty name":         chunked("0\r\n: b\r\n\r\n"),
		"request after bad chunk":    chunked("0\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n"),
	}, "431": {
		"long line":        "GET /" + strings.Repeat("a", 70000) + " HTTP/1.1\r\n" + host + "\r\n",
		"long field":       fields("A: " + strings.Repeat("v", 70000)),
		"many fields":      fields(strings.Repeat("A: b\r\n", 12000) + "Z: z"),
		"endless line":     strings.Repeat("A", 70000),
		"one byte too big": fields("A: " + strings.Repeat("v", 64<<10+1-len(fields("A: ")))),
	}, "501": {
		"gzip":              post("Transfer-Encoding: gzip", ""),
		"gzip and chunked":  post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
		"chunked twice":     post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
		"identity":          post("Transfer-Encoding: identity", ""),
		"empty coding":      post("Transfer-Encoding:", ""),
		"quoted":            post(`Transfer-Encoding: "chunked"`, "0\r\n\r\n"),
		"with parameter":    post("Transfer-Encoding: chunked;q=1", "0\r\n\r\n"),
		"xchunked":          post("Transfer-Encoding: xchunked", "0\r\n\r\n"),
		"vertical tab form": post("Transfer-Encoding: chunked,", "0\r\n\r\n"),
	}}
}

func TestMalformedRequestsAreRefused(t *testing.T) { eachWay(t, testMalformedRequestsAreRefused) }

func testMalformedRequestsAreRefused(t *testing.T, newRig maker) {
	count := 0
	for status, requests := range malformedRequests() {
		for name, req := range requests {
			count++
			t.Run(name, func(t *testing.T) {
				// Alone, and behind a good request that it must not reach the
				// upstream with.
				r := newRig(t)
				c := r.client()
				go c.Write([]byte(req)) // as much of it as is taken
				c.expectRefusal(status)
				if n := r.ends(EndRefused); n.began || n.upstreamKnown {
					t.Errorf("%+v", n)
				}
				if n := r.dials.Load(); n != 0 {
					t.Fatalf("%d connections to the upstream", n)
				}

				const good = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n"
				c = r.client()
				go c.Write([]byte(good + req))
				up := r.upstream()
				up.expect(good)
				up.send(okResponse)
				c.expect(okResponse)
				c.expectRefusal(status)
				up.expectNothing()
			})
		}
	}
	if count < 60 {
		t.Errorf("only %d requests", count)
	}
}

// expectRefusal wants an answer of that status and the end of the connection.
func (p *peer) expectRefusal(status string) {
	p.t.Helper()
	p.expect("HTTP/1.1 " + status + " Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	rest, err := io.ReadAll(p)
	if err != nil || len(rest) > 0 {
		p.t.Fatalf("then got %q, %v", rest, err)
	}
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
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
	up := r.upstream()
	up.expect("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
	c.send("hello!GET / HTTP/1.1\r\n\r\n")
	up.expectReset()
	c.expectReset()
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
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
	c.expect("HTTP/1.1 400 Refused\r\nContent-Length: 0\r\n\r\n")
	const req = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	c.send(req)
	up := r.upstream()
	up.expect(req)
	up.send(okResponse)
	c.expect(okResponse)
}

func TestOneEmptyLineBeforeARequestIsPassedOver(t *testing.T) {
	eachWay(t, testOneEmptyLineBeforeARequestIsPassedOver)
}

func testOneEmptyLineBeforeARequestIsPassedOver(t *testing.T, newRig maker) {
	const req = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, pieces := range [][]string{{"\r\n" + req}, {"\r", "\n", req}, {"\r\n", req}} {
		r := newRig(t)
		c := r.client()
		for _, p := range pieces {
			c.send(p)
		}
		up := r.upstream()
		up.expect(req)
		up.send(okResponse)
		c.expect(okResponse)
	}
}
