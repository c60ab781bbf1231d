package http1test

import "strings"

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// LegalResponses returns answers that must arrive as they are. Those that begin
// with a method are answers to that.
func LegalResponses() map[string]string {
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
