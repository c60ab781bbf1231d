package relay

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

// plan is a generated request, with what is known about it without reading it.
type plan struct {
	raw     string // as the program sends it, empty lines before it included
	skip    int    // length of these empty lines
	want    string // what the upstream gets; "" if that is nothing
	head    int    // length of the head in want
	method  string
	body    string // without framing
	status  int    // of the refusal, if it is refused by its head
	broken  bool   // the body is malformed: refused, or cut if the head was sent
	connect bool
	expects bool
	closes  bool // the relay closes after the response, since Connection: close was dropped

	route    Route
	rewrite  string // what is sent in its place, if it is
	held     bool   // it is rewritten, or refused after that was tried
	routeErr error
	dialErr  bool

	response response
	early    int // how much of want the upstream gets before it answers; all if 0

	denied bool // there was no memory for it
}

// response is what the upstream sends for a request.
type response struct {
	raw        string
	body       string // without framing
	status     int
	kind       responseKind
	untilClose bool
	tooLong    bool   // its head, which is unreadable
	head       int    // where the final head begins
	blank      int    // where the empty line behind it is
	excess     string // sent behind it
}

type responseKind uint8

const (
	legal responseKind = iota
	odd                // has one reading; both sides are closed behind it
	unreadable
)

// generator makes exchanges from a seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, 0x7461702d72656c61))}
}

// chance reports true p times of a hundred.
func (g generator) chance(p int) bool { return g.IntN(100) < p }

func pick[T any](g generator, of []T) T { return of[g.IntN(len(of))] }

// named is a message of a catalogue.
type named[T any] struct {
	name    string
	message T
}

func sorted[T any](m map[string]T) []named[T] {
	var list []named[T]
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, named[T]{name, m[name]})
	}
	return list
}

var (
	legalRequests     = sorted(http1test.LegalRequests())
	legalResponses    = sorted(http1test.LegalResponses())
	oddResponses      = sorted(http1test.OddResponses())
	unreadables       = sorted(http1test.UnreadableResponses())
	tooLongs          = sorted(http1test.TooLongResponses())
	malformedRequests = func() (all []named[malformed]) {
		for _, status := range []int{400, 431, 501} {
			for _, m := range sorted(http1test.MalformedRequests()[strconv.Itoa(status)]) {
				all = append(all, named[malformed]{m.name, malformed{m.message, status}})
			}
		}
		return all
	}()
)

type malformed struct {
	raw    string
	status int
}

// size returns the length of a body: most often small, now and then beyond
// every buffer.
func (g generator) size() int {
	switch n := g.IntN(100); {
	case n < 15:
		return 0
	case n < 80:
		return g.IntN(300)
	case n < 92:
		return smallBuffer - 200 + g.IntN(400)
	case n < 97:
		return g.IntN(3 * smallBuffer)
	case n < 99:
		return largeBuffer - 300 + g.IntN(600)
	}
	return g.IntN(5 * largeBuffer)
}

// text is what bodies are cut from.
var text = func() string {
	g := newGenerator(1)
	b := make([]byte, 6*largeBuffer)
	for i := range b {
		b[i] = byte(g.IntN(256))
	}
	return string(b)
}()

func (g generator) content() string {
	n := g.size()
	at := g.IntN(len(text) - n)
	return text[at : at+n]
}

// chunked puts body into chunks of random sizes.
func (g generator) chunked(body string) string {
	var b strings.Builder
	extension := func() {
		if g.chance(10) {
			b.WriteString(pick(g, []string{";a", ";a=b", "; a = b", ";a=\"b;\\\"c\";d=e"}))
		}
		b.WriteString("\r\n")
	}
	for len(body) > 0 {
		n := 1 + g.IntN(len(body))
		if g.chance(20) {
			n = 1 + g.IntN(min(len(body), 20))
		}
		if g.chance(10) {
			b.WriteString("000")
		}
		fmt.Fprintf(&b, pick(g, []string{"%x", "%X"}), n)
		extension()
		b.WriteString(body[:n])
		b.WriteString("\r\n")
		body = body[n:]
	}
	b.WriteString(pick(g, []string{"0", "0", "0", "000"}))
	extension()
	if g.chance(15) {
		b.WriteString(pick(g, []string{"A: b\r\n", "A: b\r\nC:d\r\n", "X-Sum:\r\n", "Content-Digest: sha-256=:x:\r\n"}))
	}
	b.WriteString("\r\n")
	return b.String()
}

// field is a field line. sent is what passes on.
type genField struct{ line, sent string }

var oddFields = []string{
	"A:b", "A:    b    ", "A:\tb\t", "A:", "a: 1\r\nA: 2", "x-AMZ-dAtE: 20260101T000000Z", "A: \xe4\xbd\xa0\xff",
	"!#$%&'*+-.^_`|~9: x", "Connection: keep-alive", "Keep-Alive: timeout=5", "TE: trailers", "Cookie: a=b; c=d",
	"Accept-Encoding: gzip;q=0.5, *;q=0", "X-One: 1\r\nX-Two: 2", "A: " + strings.Repeat("v", 300),
}

// request makes a legal request, of which all passes on but what the relay's
// documentation says.
func (g generator) request() *plan {
	p := &plan{}
	if g.chance(12) {
		m := pick(g, legalRequests)
		for len(m.message) > 20000 && !g.chance(5) {
			m = pick(g, legalRequests)
		}
		p.raw, p.want = m.message, m.message
		p.method, _, _ = strings.Cut(m.message, " ")
		p.head = strings.Index(p.want, "\r\n\r\n") + 4
		p.expects = m.name == "expect"
		if strings.HasPrefix(m.name, "chunked") {
			p.body = dechunked(p.want[p.head:])
		} else {
			p.body = p.want[p.head:]
		}
		p.early = g.early(p)
		return p
	}

	p.method = pick(g, []string{"GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get", "M-SEARCH"})
	version := "HTTP/1.1"
	if g.chance(8) {
		version = "HTTP/1.0"
	}
	path := pick(g, []string{"/", "/v3/", "//", "/?", "/?b=2&a=1&b=1", "/%7euser/%E4", "/a/./../b", "/{}|\\^`", "/http://other/", "/" + strings.Repeat("p", g.IntN(200))})
	target := path
	switch n := g.IntN(10); {
	case n < 3:
		target = pick(g, []string{"http://Target.example:8080", "http://h", "HTTP://[::1]:81"}) + path
	case n == 3:
		target, path = "http://h", "/"
		if p.method == "OPTIONS" {
			path = "*"
		}
	case n == 4 && p.method == "OPTIONS":
		target, path = "*", "*"
	}

	fields := []genField{{"Host: h\r\n", "Host: h\r\n"}}
	add := func(line string) { fields = append(fields, genField{line + "\r\n", line + "\r\n"}) }
	drop := func(line string) { fields = append(fields, genField{line + "\r\n", ""}) }
	for range g.IntN(5) {
		add(pick(g, oddFields))
	}
	if g.chance(2) {
		add("Long: " + strings.Repeat("v", g.IntN(40000)))
	}
	if g.chance(12) {
		drop("Proxy-Authorization: Basic c2VjcmV0")
	}
	if g.chance(12) {
		if line := "Proxy-Connection: Keep-Alive"; g.chance(20) {
			p.route.Keep = []byte("host;proxy-connection")
			add(line)
		} else {
			drop(line)
		}
	}
	hasConnection := slices.ContainsFunc(fields, func(f genField) bool { return strings.HasPrefix(f.line, "Connection:") })
	if !hasConnection && g.chance(8) {
		if g.chance(50) {
			drop("Upgrade: websocket")
		} else {
			drop("Upgrade: h2c")
			drop("HTTP2-Settings: AAMA")
		}
		connection := "Connection: Upgrade"
		if strings.Contains(fields[len(fields)-1].line, "HTTP2") {
			connection += ", HTTP2-Settings"
		}
		if g.chance(30) {
			connection += ", close"
			p.closes = true
		}
		drop(connection)
	}
	framed := ""
	switch body := g.content(); {
	case g.chance(40), version == "HTTP/1.0" && slices.Contains([]string{"GET", "HEAD", "DELETE"}, p.method): // which are refused with one
	case version == "HTTP/1.1" && g.chance(50):
		add("Transfer-Encoding: chunked")
		p.body, framed = body, g.chunked(body)
	default:
		add(fmt.Sprintf("Content-Length: %d", len(body)))
		p.body, framed = body, body
	}
	if version == "HTTP/1.1" && framed != "" && g.chance(10) {
		add("Expect: 100-continue")
		p.expects = true
	}
	g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })

	var raw, want strings.Builder
	if g.chance(5) {
		raw.WriteString(strings.Repeat("\r\n", 1+g.IntN(3)))
		p.skip = raw.Len()
	}
	fmt.Fprintf(&raw, "%s %s %s\r\n", p.method, target, version)
	if g.chance(8) {
		p.route.Proxied = &Proxied{Origin: "http://origin:81", Authorization: pick(g, []string{"", "Basic dG86cHJveHk="})}
		if path == "*" {
			path = ""
		}
		fmt.Fprintf(&want, "%s http://origin:81%s %s\r\n", p.method, path, version)
		if a := p.route.Proxied.Authorization; a != "" {
			want.WriteString("Proxy-Authorization: " + a + "\r\n")
		}
	} else {
		fmt.Fprintf(&want, "%s %s %s\r\n", p.method, path, version)
	}
	for _, f := range fields {
		raw.WriteString(f.line)
		want.WriteString(f.sent)
	}
	raw.WriteString("\r\n" + framed)
	want.WriteString("\r\n")
	p.head = want.Len()
	want.WriteString(framed)
	p.raw, p.want = raw.String(), want.String()
	p.early = g.early(p)
	return p
}

// early decides how much of a request the upstream wants to see before it
// answers; 0 is all.
func (g generator) early(p *plan) int {
	if len(p.want) > p.head && g.chance(15) {
		return p.head + g.IntN(len(p.want)-p.head)
	}
	return 0
}

// dechunked is what is in chunks that are known to be well-formed.
func dechunked(s string) string {
	var b strings.Builder
	for {
		line, rest, _ := strings.Cut(s, "\r\n")
		line, _, _ = strings.Cut(line, ";")
		var n int
		fmt.Sscanf(line, "%x", &n)
		if n == 0 {
			return b.String()
		}
		b.WriteString(rest[:n])
		s = rest[n+2:]
	}
}

// malformed makes a request that is refused.
func (g generator) malformed() *plan {
	m := pick(g, malformedRequests)
	for len(m.message.raw) > 20000 && !g.chance(5) {
		m = pick(g, malformedRequests)
	}
	p := &plan{raw: m.message.raw, status: m.message.status}
	p.method, _, _ = strings.Cut(p.raw, " ")
	// What is malformed may be the body, which is then found out when the head
	// is on its way.
	if end := strings.Index(p.raw, "\r\n\r\n"); end > 0 && strings.Contains(p.raw[:end], "Transfer-Encoding: chunked") {
		p.broken = true
		p.want, p.head = p.raw, end+4
		if g.chance(60) { // the upstream answers without the body
			p.early = p.head
			g.responseTo(p, true)
		}
	}
	return p
}

// responseTo makes a response. closing is whether it may end with the connection.
func (g generator) responseTo(p *plan, closing bool) {
	a := &p.response
	defer a.locate()
	head := p.method == "HEAD"
	switch n := g.IntN(100); {
	case n < 10 && !head:
		m := pick(g, legalResponses)
		for strings.HasPrefix(m.name, "HEAD") || strings.HasPrefix(m.name, "until close") && !closing || len(m.message) > 20000 && !g.chance(5) {
			m = pick(g, legalResponses)
		}
		a.raw, a.untilClose = m.message, strings.HasPrefix(m.name, "until close")
		a.body = unknownBody
		return
	case n < 25 && !head && closing:
		m := pick(g, oddResponses)
		a.raw, a.body, a.kind, a.untilClose = m.message.Bytes, m.message.Body, odd, strings.HasPrefix(m.name, "until close")
		return
	case n < 30 && !head && closing:
		a.raw, a.kind = pick(g, unreadables).message, unreadable
		return
	case n < 34 && !head && closing:
		a.raw, a.kind, a.tooLong = pick(g, tooLongs).message, unreadable, true
		return
	}

	var b strings.Builder
	if p.expects || g.chance(8) {
		b.WriteString(pick(g, []string{"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nContent-Length: 5\r\n\r\n"}))
	}
	a.status = pick(g, []int{200, 200, 200, 200, 204, 304, 400, 409, 412, 500, 503, 799})
	fmt.Fprintf(&b, pick(g, []string{"HTTP/1.1 %d OK\r\n", "HTTP/1.1 %d \r\n", "HTTP/1.1 %d\r\n", "HTTP/1.1 %d All \xe4 right!\r\n"}), a.status)
	for range g.IntN(4) {
		b.WriteString(pick(g, []string{"x-KSC-request-id:  a\r\n", "X:\r\n", "Set-Cookie: a\r\nSet-Cookie: b\r\n", "A: \xff\xfe\r\n", "DATE:now\r\n", "Connection: keep-alive\r\n", "Keep-Alive: timeout=1\r\n"}))
	}
	if g.chance(2) {
		b.WriteString("Long: " + strings.Repeat("v", g.IntN(40000)) + "\r\n")
	}
	body, framed := g.content(), ""
	bare := head || a.status == 204 || a.status == 304
	switch {
	case a.status == 204: // with nothing
	case closing && !bare && g.chance(8):
		a.untilClose, framed = true, body
	case g.chance(40):
		b.WriteString("Transfer-Encoding: chunked\r\n")
		framed = g.chunked(body)
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
		framed = body
	}
	b.WriteString("\r\n")
	if bare {
		body, framed = "", ""
	}
	b.WriteString(framed)
	a.raw, a.body = b.String(), body
}

// unknownBody is the body of a response of which it is not known.
const unknownBody = "\x00unknown"

// locate finds the final head of a response.
func (a *response) locate() {
	if a.kind == unreadable { // its head may be readable
		if a.blank = strings.Index(a.raw, "\r\n\r\n"); a.blank >= 0 {
			a.blank += 2
		}
		return
	}
	for at := 0; ; {
		start := at
		at = len(a.raw) - len(strings.TrimLeft(a.raw[at:], "\r\n"))
		interim := strings.HasPrefix(a.raw[at:], "HTTP/1.1 1")
		if !interim {
			a.head = start
		}
		for {
			line, _, _ := strings.Cut(a.raw[at:], "\n")
			if line == "" || line == "\r" {
				break
			}
			at += len(line) + 1
		}
		if !interim {
			a.blank = at
			return
		}
		at += strings.Index(a.raw[at:], "\n") + 1
	}
}

// bytes returns n random bytes, eight of each number: the race detector makes more numbers
// expensive.
func (g generator) bytes(n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, g.Uint64())
	}
	return b[:n:n]
}
