package http1

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

const maxHead = 64 << 10

// read reads one request as a relay does, in pieces of at most step bytes. It
// returns what the request is passed on as, and how many bytes it took.
func read(in []byte, step int) (out string, n int, err error) {
	var q Request
	end, from := 0, 0
	for at := min(step, len(in)); end == 0; at = min(at+step, len(in)) {
		if end, from, err = ScanRequest(in[:at], from, maxHead); err != nil {
			return "", 0, err
		}
		if end == 0 && at == len(in) {
			return "", 0, errUnfinished
		}
	}
	mem := memory(in)
	if err := q.Parse(mem, headroom, headroom+end); err != nil {
		return "", 0, err
	}
	body := q.Body()
	for n = end; !body.Done && n < len(in); {
		k, err := body.Take(in[n:min(n+step, len(in))])
		if err != nil {
			return "", 0, err
		}
		n += k
	}
	if !body.Done {
		return "", 0, errUnfinished
	}
	q.Prepare(nil)
	return string(mem[q.Start() : headroom+n]), n, nil
}

var errUnfinished = errors.New("the message is unfinished")

func TestLegalRequestsPassUnchanged(t *testing.T) {
	for name, req := range http1test.LegalRequests() {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 7, 1 << 20} {
				if out, n, err := read([]byte(req+"GET"), step); out != req || n != len(req) {
					t.Errorf("in steps of %d: %d of %d bytes, %v, as %.200q", step, n, len(req), err, out)
				}
			}
		})
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	for status, requests := range http1test.MalformedRequests() {
		for name, req := range requests {
			t.Run(name, func(t *testing.T) {
				for _, step := range []int{1, 7, 1 << 20} {
					_, _, err := read([]byte(req), step)
					var refusal *RefusalError
					if !errors.As(err, &refusal) || strconv.Itoa(refusal.Status) != status {
						t.Errorf("in steps of %d: %v, want %s", step, err, status)
					}
					if strings.HasPrefix(name, "folded") {
						assert.ErrorIs(t, err, errFold)
					}
				}
			})
		}
	}
}

// TestEndToEndFields has Connection and trailers name the fields that frame, route,
// authorize or describe a message, and trailers those of a connection.
func TestEndToEndFields(t *testing.T) {
	const begin = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	endToEnd := strings.Fields(`Host Content-Length Content-Type Transfer-Encoding Expect Max-Forwards Authorization
		Cookie Cookie2 Date Cache-Control Pragma Range Accept Accept-Language User-Agent Origin Referer
		Forwarded Via X-Real-IP X-Forwarded-Proto X-HTTP-Method X-HTTP-Method-Override X-Method-Override
		X-Original-URL X-Rewrite-URL If-Match If-None-Match If-Modified-Since X-Amz-Date X-KSC-Token`)
	oneConnection := strings.Fields("Connection Keep-Alive TE Trailer Upgrade HTTP2-Settings Set-Cookie Proxy-Connection")
	for _, name := range endToEnd {
		_, _, err := read([]byte(begin+"Connection: x, "+name+"\r\n\r\n0\r\n\r\n"), 1<<20)
		assert.ErrorIs(t, err, errEndToEnd, "Connection: %s", name)
	}
	for _, name := range append(endToEnd, oneConnection...) {
		_, _, err := read([]byte(begin+"\r\n0\r\nA: b\r\n"+name+": x\r\n\r\n"), 1<<20)
		assert.ErrorIs(t, err, errTrailerName, "trailer %s", name)
	}
}

// TestLimitsOfChunks has the lines and trailers of chunked bodies be as long as they may
// be, and longer by one byte.
func TestLimitsOfChunks(t *testing.T) {
	line := func(prefix, fill, end string, length int) string {
		return prefix + strings.Repeat(fill, length-len(prefix)-len(end)) + end
	}
	const first = "1;a=b\r\nx\r\n"
	for name, tt := range map[string]struct {
		body    func(more int) string
		lenient []bool // of responses, of requests or of both
		want    error
	}{
		"extension":     {func(more int) string { return first + line("0;", "e", "\r\n", maxChunkLine+more) + "\r\n" }, []bool{false}, errChunkLine},
		"odd extension": {func(more int) string { return first + line("0;", "e", "\r\n", maxOddLine+more) + "\r\n" }, []bool{true}, errChunkLine},
		"zeros":         {func(more int) string { return first + strings.Repeat("0", maxChunkLine+more) + "\r\n\r\n" }, []bool{true}, errChunkLarge},
		"digits":        {func(more int) string { return first + strings.Repeat("0", maxChunkDigits+more) + "\r\n\r\n" }, []bool{false}, errChunkLarge},
		"blanks":        {func(more int) string { return first + line("0", " ", "\r\n", maxChunkLine+more) + "\r\n" }, []bool{true}, errChunkSize},
		"trailers": {func(more int) string {
			return line("0;", "e", "\r\n", maxChunkLine) + line("A: b\r\nC: ", "d", "\r\n\r\n", maxTrailers+more)
		}, []bool{false, true}, errTrailerLarge},
	} {
		for _, lenient := range tt.lenient {
			b := Body{kind: bodyChunked, lenient: lenient}
			n, err := b.Take([]byte(tt.body(0)))
			require.NoError(t, err, name)
			assert.True(t, b.Done && n == len(tt.body(0)), name)
			b = Body{kind: bodyChunked, lenient: lenient}
			_, err = b.Take([]byte(tt.body(1)))
			assert.ErrorIs(t, err, tt.want, name)
		}
	}
}

func TestFieldsThatAreDropped(t *testing.T) {
	const h2c = "Connection: close, Upgrade, HTTP2-Settings\r\nA: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
	tests := []struct {
		name, fields, keep, want string
		hopByHop, wantClose      bool
	}{
		{name: "connection", fields: "A: 1\r\nConnection: close\r\nB: 2\r\n", want: "A: 1\r\nConnection: close\r\nB: 2\r\n"},
		{name: "keep-alive and te", fields: "Keep-Alive: timeout=5\r\nConnection: TE\r\nTE: trailers\r\n", want: "Keep-Alive: timeout=5\r\nConnection: TE\r\nTE: trailers\r\n"},
		{name: "named", fields: "X-One: 1\r\nConnection: x-ONE , close,, x-two\r\nX-Two: 2\r\n", want: "X-One: 1\r\nConnection: x-ONE , close,, x-two\r\nX-Two: 2\r\n"},
		{name: "proxy credentials", fields: "Proxy-Authorization: Basic eDp5\r\nA: 1\r\n", want: "A: 1\r\n"},
		{name: "signed proxy credentials", fields: "A: 1\r\nProxy-Authorization: secret\r\n", keep: "proxy-authorization", want: "A: 1\r\n"},
		{name: "proxy-connection", fields: "Proxy-Connection: Keep-Alive\r\nA: 1\r\nproxy-connection: x\r\n", want: "A: 1\r\n", hopByHop: true},
		{name: "proxy-connection with close", fields: "Connection: close\r\nProxy-Connection: Keep-Alive\r\n", want: "Connection: close\r\n", hopByHop: true},
		{name: "signed proxy-connection", fields: "Proxy-Connection: Keep-Alive\r\nProxy-Authorization: x\r\n", keep: "host; Proxy-Connection", want: "Proxy-Connection: Keep-Alive\r\n", hopByHop: true},
		{name: "h2c", fields: h2c, want: "A: 1\r\n", hopByHop: true, wantClose: true},
		{name: "h2c and connection signed", fields: h2c, keep: "connection;host", want: h2c, hopByHop: true},
		{name: "h2c and upgrade signed", fields: h2c, keep: "upgrade", want: h2c, hopByHop: true},
		{name: "h2c and settings signed", fields: h2c, keep: "a;http2-settings", want: h2c, hopByHop: true},
		{name: "h2c, others signed", fields: h2c, keep: "a;proxy-connection", want: "A: 1\r\n", hopByHop: true, wantClose: true},
		{name: "upgrade", fields: "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n", want: "Sec-WebSocket-Key: x\r\n", hopByHop: true},
		{name: "upgrade signed", fields: "Connection: upgrade\r\nUpgrade: x\r\n", keep: "upgrade", want: "Connection: upgrade\r\nUpgrade: x\r\n", hopByHop: true},
		{name: "upgrade alone", fields: "Upgrade: x\r\n", hopByHop: true},
		{name: "upgrade alone, signed", fields: "Upgrade: x\r\n", keep: "upgrade", want: "Upgrade: x\r\n", hopByHop: true},
		{name: "upgrade and keep-alive", fields: "Connection: keep-alive\r\nUpgrade: x\r\nConnection: x\r\nX: 1\r\n", want: "X: 1\r\n", hopByHop: true},
		{name: "all of it", fields: "Proxy-Connection: x\r\n" + h2c + "Proxy-Authorization: y\r\n", want: "A: 1\r\n", hopByHop: true, wantClose: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, target := range []string{"/x?y", "http://Host.example:80/x?y"} {
				for _, host := range []string{"Host: h\r\n" + tt.fields, tt.fields + "Host: h\r\n"} {
					in := "POST " + target + " HTTP/1.1\r\n" + host + "\r\nbody"
					mem := memory([]byte(in))
					var q Request
					require.NoError(t, q.Parse(mem, headroom, len(mem)-len("body")))
					assert.Equal(t, tt.hopByHop, q.HopByHop(), "HopByHop")
					q.Prepare([]byte(tt.keep))
					fields := strings.Replace(host, tt.fields, tt.want, 1)
					want := "POST /x?y HTTP/1.1\r\n" + fields + "\r\nbody"
					assert.Equal(t, want, string(mem[q.Start():]))
					assert.Equal(t, tt.wantClose, q.Close(), "Close")
					checkViews(t, &q, "POST", "/x?y", fields)
					moved := append(make([]byte, 100), mem...)
					clear(mem)
					q.Rebase(moved, 100)
					checkViews(t, &q, "POST", "/x?y", fields)
				}
			}
		})
	}
}

// checkViews compares what q gives out with the head that is passed on.
func checkViews(t *testing.T, q *Request, method, target, fields string) {
	t.Helper()
	if string(q.Method()) != method || string(q.Target()) != target || string(q.Version()) != "HTTP/1.1" || string(q.Host()) != "h" {
		t.Errorf("%s %s %s, host %q", q.Method(), q.Target(), q.Version(), q.Host())
	}
	var all strings.Builder
	for name, value := range q.Fields() {
		all.WriteString(string(name) + ": " + string(value) + "\r\n")
	}
	if all.String() != fields {
		t.Errorf("fields %q, want %q", &all, fields)
	}
	assert.Equal(t, fields+"\r\n", string(q.mem[q.Rest():q.End()]), "rest")
}

func TestAbsoluteFormBecomesOrigin(t *testing.T) {
	for target, want := range map[string][2]string{
		"GET http://h":                    {"h", "GET /"},
		"GET HTTP://H:80/x?y":             {"H:80", "GET /x?y"},
		"GET https://h/x":                 {"h", "GET /x"},
		"GET http://h?a=b":                {"h", "GET /?a=b"},
		"GET http://[::1]:81//x":          {"[::1]:81", "GET //x"},
		"GET http://h/http://i/":          {"h", "GET /http://i/"},
		"OPTIONS http://h":                {"h", "OPTIONS *"},
		"OPTIONS http://h/":               {"h", "OPTIONS /"},
		"OPTIONS http://h?x":              {"h", "OPTIONS /?x"},
		"LONGERTHANTHEAUTHORITY http://h": {"h", "LONGERTHANTHEAUTHORITY /"},
	} {
		rest := " HTTP/1.1\r\nHost: h\r\n\r\n"
		mem := memory([]byte(target + rest))
		var q Request
		require.NoError(t, q.Parse(mem, headroom, len(mem)))
		if string(q.Authority()) != want[0] || q.Form != FormAbsolute || q.TLS != strings.Contains(target, "https") {
			t.Errorf("%s: authority %q, form %d, TLS %v", target, q.Authority(), q.Form, q.TLS)
		}
		q.Prepare(nil)
		assert.Equal(t, want[1]+rest, string(q.Bytes()), target)
		path := strings.TrimPrefix(want[1][strings.IndexByte(want[1], ' ')+1:], "*")
		line := want[1][:strings.IndexByte(want[1], ' ')] + " http://i" + path + " HTTP/1.1\r\nProxy-Authorization: x\r\n"
		assert.Equal(t, line, string(q.Proxied("http://i", "x")), "%s: to a proxy", target)
	}
}

// largestHead is a head whose fields, options or kept names are as many as fit.
type largestHead struct {
	request, response []byte
	keep              []byte
}

// largestHeads returns heads of up to n bytes.
func largestHeads(n int) map[string]largestHead {
	fill := func(prefix, part, suffix string) string {
		return prefix + strings.Repeat(part, (n-200-len(prefix)-len(suffix))/len(part)) + suffix
	}
	heads := make(map[string]largestHead)
	for name, fields := range map[string]string{
		"options":           fill("Connection: a", ",a", "\r\n"),
		"empty options":     fill("Connection: ", ",", "\r\n"),
		"fields":            fill("", "a:\r\n", ""),
		"options, fields":   fill("Connection: a"+strings.Repeat(",a", n/4)+"\r\n", "a:\r\n", ""),
		"connections":       fill("", "connection:a\r\n", ""),
		"proxy-connections": fill("", "proxy-connection:\r\n", ""),
		"upgrades":          fill("", "upgrade:a\r\n", ""),
		"blanks":            fill("A:", " ", "\r\n"),
	} {
		heads[name] = largestHead{
			request:  []byte("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"),
			response: []byte("HTTP/1.1 200 OK\r\n" + fields + "\r\n"),
			keep:     []byte(fill("", "a;", "connection")),
		}
	}
	return heads
}

// parse does all that is done with the two heads. mem has room for them.
func (h *largestHead) parse(q *Request, p *Response, mem []byte) error {
	if _, _, err := ScanRequest(h.request, 0, maxHead); err != nil {
		return err
	}
	mem = append(mem[:headroom], h.request...)
	if err := q.Parse(mem, headroom, len(mem)); err != nil {
		return err
	}
	q.Prepare(h.keep)
	if _, _, err := ScanResponse(h.response, 0, maxHead); err != nil {
		return err
	}
	return p.Parse(h.response, 0, len(h.response))
}

// TestManyFieldsAndOptions has the largest heads be legal.
func TestManyFieldsAndOptions(t *testing.T) {
	for name, h := range largestHeads(maxHead) {
		var q Request
		var p Response
		require.NoError(t, h.parse(&q, &p, memory(h.request)), name)
	}
}
