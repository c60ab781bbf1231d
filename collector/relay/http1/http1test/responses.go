package http1test

import "strings"

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// LegalResponses returns responses that must arrive as they are. Those that begin
// with a method are responses to it.
func LegalResponses() map[string]string {
	ok := func(f, body string) string { return "HTTP/1.1 200 OK\r\n" + f + "\r\n" + body }
	chunked := func(body string) string { return ok("Transfer-Encoding: chunked\r\n", body) }
	m := map[string]string{
		"length":                              ok("Content-Length: 2\r\n", "ok"),
		"zero length":                         ok("Content-Length: 0\r\n", ""),
		"length with zeros":                   ok("Content-Length: 002\r\n", "ok"),
		"length with blanks":                  ok("Content-Length:\t 2 \t\r\n", "ok"),
		"coding with blanks":                  ok("Transfer-Encoding:\t chunked \t\r\n", "2\r\nok\r\n0\r\n\r\n"),
		"no reason":                           "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
		"no reason, no blank":                 "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		"odd reason":                          "HTTP/1.1 200 All \xe4 right!\tyes\r\nContent-Length: 0\r\n\r\n",
		"odd status":                          "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n",
		"status 999":                          "HTTP/1.1 999 Far\r\nContent-Length: 0\r\n\r\n",
		"fields":                              ok("x-KSC-request-id:  a\r\nX:\r\nY: \t\r\nContent-Length: 0\r\nDATE:now\r\n", ""),
		"duplicate fields":                    ok("Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n", ""),
		"obs-text":                            ok("A: \xff\xfe\r\nContent-Length: 0\r\n", ""),
		"long field":                          ok("A: "+strings.Repeat("v", 40000)+"\r\nContent-Length: 0\r\n", ""),
		"many fields":                         ok(strings.Repeat("A: b\r\n", 2000)+"Content-Length: 0\r\n", ""),
		"body 8 KiB":                          ok("Content-Length: 8192\r\n", strings.Repeat("b", 8192)),
		"body 60 KiB":                         ok("Content-Length: 61440\r\n", strings.Repeat("b", 61440)),
		"body 1 MiB":                          ok("Content-Length: 1048576\r\n", strings.Repeat("0123456789abcdef", 65536)),
		"long head, long body":                ok("A: "+strings.Repeat("v", 60000)+"\r\nContent-Length: 200000\r\n", strings.Repeat("b", 200000)),
		"head of 66 KiB":                      ok("A: "+strings.Repeat("v", 67000)+"\r\nContent-Length: 5\r\n", "hello"),
		"head of 66 KiB, many fields":         ok("Content-Length: 5\r\n"+strings.Repeat("A: "+strings.Repeat("v", 990)+"\r\n", 67), "hello"),
		"head of 250 KiB, chunked":            ok("A: "+strings.Repeat("v", 256000)+"\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
		"head of 140 KiB, long body":          ok("A: "+strings.Repeat("v", 143000)+"\r\nContent-Length: 200000\r\n", strings.Repeat("b", 200000)),
		"head of 66 KiB after an interim one": "HTTP/1.1 103 E\r\nA: b\r\n\r\n" + ok("A: "+strings.Repeat("v", 67000)+"\r\nContent-Length: 5\r\n", "hello"),
		"gzip":                                ok("Content-Encoding: gzip\r\nContent-Length: 3\r\n", "\x1f\x8b\x08"),
		"chunked":                             chunked("2\r\nok\r\n0\r\n\r\n"),
		"chunked empty":                       chunked("0\r\n\r\n"),
		"chunked extensions":                  chunked("0002;a=\"b\"\r\nok\r\n0;x\r\n\r\n"),
		"chunked extension forms":             chunked("2;ab;cd  ;ef  =  gh  ;i=\"j\\\"\" ; k\r\nok\r\n0\r\n\r\n"),
		"chunked trailers":                    chunked("2\r\nok\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n"),
		"chunked framing trailer":             chunked("2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n"),
		"chunked many":                        chunked(strings.Repeat("3\r\nabc\r\n", 5000) + "0\r\n\r\n"),
		"chunked large":                       chunked("40000\r\n" + strings.Repeat("c", 0x40000) + "\r\n0\r\n\r\n"),
		"chunked odd case":                    ok("transfer-ENCODING: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n"),
		"100":                                 "HTTP/1.1 100 Continue\r\n\r\n" + okResponse,
		"103":                                 "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nLink:</y>\r\n\r\n" + okResponse,
		"several interim":                     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" + okResponse,
		"interim with length":                 "HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n" + okResponse,
		"204":                                 "HTTP/1.1 204 No Content\r\n\r\n",
		"204 with length":                     "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"304":                                 "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
		"400":                                 "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad",
		"409":                                 "HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nbad",
		"412":                                 "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n",
		"500":                                 "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbad",
		"503 retry":                           "HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
		"redirect":                            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
		"HEAD with length":                    ok("Content-Length: 500\r\n", ""),
		"HEAD chunked":                        ok("Transfer-Encoding: chunked\r\n", ""),
		"HEAD bare":                           ok("", ""),
		"http 1.0 with length":                "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"until close":                         ok("", "all that comes"),
		"until close, empty":                  ok("", ""),
		"until close, long":                   ok("A: b\r\n", strings.Repeat("0123456789", 50000)),
		"until close, http 1.0":               "HTTP/1.0 200 OK\r\n\r\nall that comes",
		"until close, error":                  "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>",
		"until close, odd bytes":              ok("", "\r\n\r\n\x00HTTP/1.1 200 OK\r\n\r\n"),
	}
	return m
}

// OddResponse is a response that is malformed, but has one reading.
type OddResponse struct {
	Bytes string
	Body  string // what clients read
}

// OddResponses returns responses to GET that must arrive as they are, after which
// both connections are closed. Those whose name begins with "until close" end
// with the upstream's connection.
func OddResponses() map[string]OddResponse {
	ok := func(f, body string) OddResponse {
		return OddResponse{"HTTP/1.1 200 OK\r\n" + f + "\r\n" + body, body}
	}
	chunked := func(f, body, content string) OddResponse {
		return OddResponse{"HTTP/1.1 200 OK\r\n" + f + "\r\n" + body, content}
	}
	const hello, coding = "5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n"
	return map[string]OddResponse{
		"bare lf":                               {"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "hello"},
		"bare lf after status":                  {"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello", "hello"},
		"bare lf after a field":                 ok("A: b\nContent-Length: 5\r\n", "hello"),
		"bare lf at the end":                    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello", "hello"},
		"bare lf, no fields":                    {"HTTP/1.1 204 No Content\n\n", ""},
		"bare lf, chunked":                      {"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" + hello, "hello"},
		"folded":                                ok("A: b\r\n c\r\nContent-Length: 5\r\n", "hello"),
		"folded last":                           ok("Content-Length: 5\r\nA: b\r\n\tc\r\n d\r\n", "hello"),
		"folded, bare lf":                       {"HTTP/1.1 200 OK\nA: b\n c\nContent-Length: 5\n\nhello", "hello"},
		"folded length":                         ok("Content-Length:\r\n 5\r\n", "hello"),
		"folded coding":                         chunked("Transfer-Encoding:\r\n\tchunked\r\n", hello, "hello"),
		"folded over a blank line":              ok("A: b\r\n \r\n c\r\nContent-Length: 5\r\n", "hello"),
		"folded, empty first":                   ok("A:\r\n b\r\nContent-Length: 5\r\n", "hello"),
		"both framings":                         chunked("Content-Length: 99\r\n"+coding, hello, "hello"),
		"both, the other way":                   chunked(coding+"Content-Length: 0\r\n", hello, "hello"),
		"both, odd lengths":                     chunked("Content-Length: 1\r\n"+coding+"Content-Length: x\r\n", hello, "hello"),
		"two equal lengths":                     ok("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
		"two lengths, zeros":                    ok("Content-Length: 5\r\nContent-Length: 05\r\n", "hello"),
		"list of lengths":                       ok("Content-Length: 5, 5\r\n", "hello"),
		"lists of lengths":                      ok("Content-Length: 5,5\r\nContent-Length: 5\r\n", "hello"),
		"http 1.0 chunked":                      {"HTTP/1.0 200 OK\r\n" + coding + "\r\n" + hello, "hello"},
		"http 1.0 keep-alive":                   {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + coding + "\r\n" + hello, "hello"},
		"http 1.2":                              {"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"two blanks before status":              {"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"control in reason":                     {"HTTP/1.1 200 O\x01K\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"blank before colon":                    ok("A : b\r\nContent-Length: 5\r\n", "hello"),
		"tab before colon":                      ok("A\t: b\r\nContent-Length: 5\r\n", "hello"),
		"blank in name":                         ok("A B: c\r\nContent-Length: 5\r\n", "hello"),
		"name above ascii":                      ok("\xc3\xa4: c\r\nContent-Length: 5\r\n", "hello"),
		"name with parenthesis":                 ok("A(b): c\r\nContent-Length: 5\r\n", "hello"),
		"empty name":                            ok(": c\r\nContent-Length: 5\r\n", "hello"),
		"control in value":                      ok("A: \x01\x7f\r\nContent-Length: 5\r\n", "hello"),
		"two codings":                           chunked(coding+coding, hello, "hello"),
		"identity and chunked":                  chunked("Transfer-Encoding: identity\r\n"+coding, hello, "hello"),
		"identity and length":                   ok("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"),
		"empty coding and length":               ok("Transfer-Encoding:\r\nContent-Length: 5\r\n", "hello"),
		"gzip and chunked":                      chunked("Transfer-Encoding: gzip, chunked\r\n", hello, "hello"),
		"interim chunked":                       {"HTTP/1.1 103 E\r\n" + coding + "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"interim bare lf":                       {"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"204 chunked":                           {"HTTP/1.1 204 No Content\r\n" + coding + "\r\n", ""},
		"204, different lengths":                {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ""},
		"304, different lengths":                {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ""},
		"chunk size with blank":                 chunked(coding, "5 \r\nhello\r\n0 \r\n\r\n", "hello"),
		"chunk size with tab":                   chunked(coding, "5\t \r\nhello\r\n0\r\n\r\n", "hello"),
		"chunk extension odd":                   chunked(coding, "5;\r\nhello\r\n0;;\r\n\r\n", "hello"),
		"chunk extension malformed":             chunked(coding, "5;bad[=x;a=\"\r\nhello\r\n0\r\n\r\n", "hello"),
		"trailer folded":                        chunked(coding, "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n", "hello"),
		"trailer blank before colon":            chunked(coding, "5\r\nhello\r\n0\r\nA : b\r\n\r\n", "hello"),
		"empty line first":                      {"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"empty lines first":                     {"\r\n\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"empty line first, no fields":           {"\r\nHTTP/1.1 204 No Content\r\n\r\n", ""},
		"empty line before an interim response": {"\r\nHTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"http 2.0":                              {"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"http 2.0 chunked":                      {"HTTP/2.0 200 OK\r\n" + coding + "\r\n" + hello, "hello"},
		"tab before status":                     {"HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"tab after status":                      {"HTTP/1.1 200\tOK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"nul in reason":                         {"HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"no colon":                              ok("A\r\nContent-Length: 5\r\n", "hello"),
		"no colon, last":                        ok("Content-Length: 5\r\nA b\r\n", "hello"),
		"no colon, bare lf":                     {"HTTP/1.1 200 OK\nA\nContent-Length: 5\n\nhello", "hello"},
		"no colon, like a field":                ok("Content-Length 7\r\nContent-Length: 5\r\n", "hello"),
		"no colon, a status line":               ok("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "hello"),
		"no colon, head of 66 KiB":              ok("A\r\nB: "+strings.Repeat("v", 67000)+"\r\nContent-Length: 5\r\n", "hello"),
		"chunk size with zeros":                 chunked(coding, strings.Repeat("0", 30)+"5\r\nhello\r\n0\r\n\r\n", "hello"),
		"chunk line bare lf":                    chunked(coding, "5\nhello\r\n0\n\r\n", "hello"),
		"chunks, last line bare lf":             chunked(coding, "5\r\nhello\r\n0\r\n\n", "hello"),
		"chunk extension after gap":             chunked(coding, "5 ;a\r\nhello\r\n0 ; b=c\r\n\r\n", "hello"),
		"chunk extension long":                  chunked(coding, "5;"+strings.Repeat("e", 5000)+"\r\nhello\r\n0\r\n\r\n", "hello"),
		"trailer without colon":                 chunked(coding, "5\r\nhello\r\n0\r\nA\r\n\r\n", "hello"),
		"trailer folded first":                  chunked(coding, "5\r\nhello\r\n0\r\n A: b\r\n\r\n", "hello"),
		"trailer nul":                           chunked(coding, "5\r\nhello\r\n0\r\nA: \x00\x01\r\n\r\n", "hello"),
		"trailer bare lf":                       chunked(coding, "5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n", "hello"),
		"trailer of another kind":               chunked(coding, "5\r\nhello\r\n0\r\n\"A\": b\r\n\xc3\xa4: c\r\n\r\n", "hello"),
		"trailer of empty name":                 chunked(coding, "5\r\nhello\r\n0\r\n: b\r\n\r\n", "hello"),
		"until close, no colon":                 {"HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\nhello", "hello"},
		"until close, gzip":                     ok("Transfer-Encoding: gzip\r\n", "hello"),
		"until close, gzip last":                ok("Transfer-Encoding: chunked, gzip\r\n", "hello"),
		"until close, gzip, length":             ok("Transfer-Encoding: gzip\r\nContent-Length: 1\r\n", "hello"),
		"until close, gzip, bad":                ok("Transfer-Encoding: gzip\r\nContent-Length: x\r\n", "hello"),
		"until close, identity":                 ok("Transfer-Encoding: identity\r\n", "hello"),
		"until close, parameter":                ok("Transfer-Encoding: chunked;q=1\r\n", "hello"),
		"until close, folded":                   {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\nhello", "hello"},
	}
}

// TooLongResponses returns responses with heads of more than 256 KiB, which pass on as they are.
func TooLongResponses() map[string]string {
	return map[string]string{
		"head that is too large":   "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 264000) + "\r\nContent-Length: 0\r\n\r\n",
		"with a body":              "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + strings.Repeat("Set-Cookie: a\r\n", 18000) + "\r\nhello",
		"line that is too long":    "HTTP/1.1 200 " + strings.Repeat("a", 264000),
		"head of bare lf too long": "HTTP/1.1 200 OK\n" + strings.Repeat("A: b\n", 56000) + "\n",
		"behind an interim one":    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 264000) + "\r\nContent-Length: 0\r\n\r\n",
	}
}

// UnreadableResponses returns responses to GET that have no reading that all
// clients share. What comes is passed on as it is.
func UnreadableResponses() map[string]string {
	ok := func(f, body string) string { return "HTTP/1.1 200 OK\r\n" + f + "\r\n" + body }
	chunked := func(body string) string { return ok("Transfer-Encoding: chunked\r\n", body) }
	return map[string]string{
		"no status line":              "<html>hello</html>\r\n\r\n",
		"tls":                         "\x15\x03\x01\x00\x02\x02\x46",
		"other protocol":              "ICY 200 OK\r\n\r\n",
		"lower case":                  "http/1.1 200 OK\r\n\r\n",
		"two empty lines and a blank": "\r\n\r\n HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"many empty lines":            strings.Repeat("\r\n", 5) + okResponse,
		"cr before the status line":   "\rHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"http/0.9":                    "HTTP/0.9 200 OK\r\n\r\n",
		"http/2":                      "HTTP/2 200\r\n\r\n",
		"http/1.x":                    "HTTP/1.x 200 OK\r\n\r\n",
		"http/1.10":                   "HTTP/1.10 200 OK\r\n\r\n",
		"no colon, folded":            ok("A\r\n b: c\r\nContent-Length: 0\r\n", ""),
		"no colon, nul":               ok("A\x00\r\nContent-Length: 0\r\n", ""),
		"no status":                   "HTTP/1.1 OK\r\n\r\n",
		"status alone":                "HTTP/1.1\r\n\r\n",
		"status of two digits":        "HTTP/1.1 20 OK\r\n\r\n",
		"status of four digits":       "HTTP/1.1 2000 OK\r\n\r\n",
		"status below 100":            "HTTP/1.1 099 OK\r\n\r\n",
		"signed status":               "HTTP/1.1 +20 OK\r\n\r\n",
		"bare cr in reason":           "HTTP/1.1 200 O\rK\r\n\r\n",
		"nul in value":                ok("A: \x00\r\nContent-Length: 0\r\n", ""),
		"nul in name":                 ok("A\x00: b\r\nContent-Length: 0\r\n", ""),
		"bare cr in value":            ok("A: b\rContent-Length: 5\r\nContent-Length: 0\r\n", ""),
		"two crs":                     ok("A: b\r\r\nContent-Length: 0\r\n", ""),
		"bare cr in a fold":           ok("A: b\r\n c\rd\r\nContent-Length: 0\r\n", ""),
		"folded status line":          "HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 0\r\n\r\n",
		"different lengths":           ok("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
		"list, different lengths":     ok("Content-Length: 5, 6\r\n", "hello"),
		"list, empty length":          ok("Content-Length: 5,\r\n", "hello"),
		"empty length":                ok("Content-Length:\r\n", "hello"),
		"negative length":             ok("Content-Length: -1\r\n", "hello"),
		"signed length":               ok("Content-Length: +5\r\n", "hello"),
		"word as length":              ok("Content-Length: five\r\n", "hello"),
		"huge length":                 ok("Content-Length: 9223372036854775808\r\n", "hello"),
		"blank before length":         ok("Content-Length : 5\r\n", "hello"),
		"blank before coding":         ok("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
		"chunk size missing":          chunked("\r\nhello\r\n0\r\n\r\n"),
		"chunk size a word":           chunked("five\r\nhello\r\n0\r\n\r\n"),
		"chunk size blank first":      chunked(" 5\r\nhello\r\n0\r\n\r\n"),
		"chunk size signed":           chunked("+5\r\nhello\r\n0\r\n\r\n"),
		"chunk size too large":        chunked("10000000000000000\r\n"),
		"chunk size blank within":     chunked("1\r\nx\r\n5 x\x01\r\nhello\r\n0\r\n\r\n"),
		"odd extension bare lf":       chunked("5;\nhello\r\n0\r\n\r\n"),
		"chunk line bare cr":          chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"),
		"chunk too long":              chunked("5\r\nhello!\r\n0\r\n\r\n"),
		"chunk too short":             chunked("5\r\nhell\r\n0\r\n\r\n"),
		"chunk end cr alone":          chunked("5\r\nhello\r0\r\n\r\n"),
		"trailer cr alone":            chunked("0\r\nA: b\rC\r\n\r\n"),
		"last line cr alone":          chunked("0\r\n\rA\r\n"),
		"chunk end bare lf":           chunked("5\r\nhello\n0\r\n\r\n"),
		"chunks of bare lf":           chunked("5\nhello\n0\n\n"),
		"chunk extension lf within":   chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"),
		"chunk size blank, bare lf":   chunked("5 \nhello\r\n0\r\n\r\n"),
		"chunk size zeros endless":    chunked(strings.Repeat("0", 5000) + "5\r\nhello\r\n0\r\n\r\n"),
		"chunk extension endless":     chunked("5;" + strings.Repeat("e", 66000) + "\r\nhello\r\n0\r\n\r\n"),
		"trailers are too large":      chunked("0\r\nA: " + strings.Repeat("a", 66000) + "\r\n\r\n"),
	}
}
