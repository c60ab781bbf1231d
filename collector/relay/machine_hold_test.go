package relay

import (
	"cmp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// held routes requests to be rewritten, which fails if err is not nil.
func (r *machineRig) held(err error) {
	r.route = func(x *Exchange) (Route, error) {
		route := Route{Key: Key{Host: string(x.Request.Host())}}
		if x.Request.Expects() {
			route.Rewrite = func(dst []byte, _ *Exchange, _ []byte) ([]byte, error) {
				return append(dst, getRequest...), err
			}
		}
		return route, nil
	}
}

const expecting = "POST / HTTP/1.1\r\nHost: other\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"

// TestRewrittenRequests has the one that is sent be of any size. What came behind the
// program's is the next one. One that is not framed by a length is not sent.
func TestRewrittenRequests(t *testing.T) {
	const coding = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	post := func(length int, body string) string {
		return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(length) + "\r\n\r\n" + body
	}
	full := smallBuffer - headroom - len(post(1000, "")) // with its head
	for name, tt := range map[string]struct {
		sent, rewritten string
		err             error // of the refusal
	}{
		"shorter":             {post(4, "body"), getRequest, nil},
		"longer":              {post(4, "body"), post(5, "body2"), nil},
		"much longer":         {post(4, "body"), post(3<<10, strings.Repeat("x", 3<<10)), nil},
		"very much longer":    {post(4, "body"), post(1<<18, strings.Repeat("x", 1<<18)), nil},
		"as long as a buffer": {post(4, "body"), post(full, strings.Repeat("x", full)), nil},
		"from chunks":         {coding + "4\r\nbody\r\n0\r\n\r\n", post(4, "body"), nil},
		"a length too small":  {post(4, "body"), post(3, "body"), errRewrite},
		"a length too large":  {post(4, "body"), post(5, "body"), errRewrite},
		"a body of no length": {post(4, "body"), getRequest + "body", errRewrite},
		"chunks":              {post(4, "body"), coding + "0\r\n\r\n", errRewrite},
		"malformed":           {post(4, "body"), "GET / HTTP/1.1\r\n\r\n", errRewrite},
		"no head":             {post(4, "body"), "GET / HTTP/1.1\r\nHost: h\r\n", errRewrite},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			r.route = func(*Exchange) (Route, error) {
				route := Route{Key: Key{Host: "h"}}
				if len(r.ends) == 0 {
					route.Rewrite = func(dst []byte, _ *Exchange, body []byte) ([]byte, error) {
						assert.Equal(t, "body", string(body))
						return append(dst, tt.rewritten...), nil
					}
				}
				return route, nil
			}
			r.read(program, tt.sent+getRequest)
			if tt.err != nil {
				r.expect(program, "refused")
				assert.ErrorIs(t, r.refusal, tt.err)
				assert.Equal(t, "lingers, FIN", r.closed())
				r.wantEnds(EndRefused)
				assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
				return
			}
			r.connect()
			r.expect(upstream, tt.rewritten)
			r.responds()
			r.expect(upstream, getRequest)
			r.responds()
			r.wantEnds(EndComplete, EndComplete)
			r.wantNothingTwice()
		})
	}
}

// TestRewritingTakesMemory has requests be rewritten where memory is short: a short one, and
// one that does not fit a large buffer.
func TestRewritingTakesMemory(t *testing.T) {
	full := newMachine(t).s.bufs.largeSize - headroom
	for name, tt := range map[string]struct {
		limit  int64
		length int
		sent   int // of the request
	}{
		"a large buffer":    {1, 7000, 0},
		"more than a large": {int64(2*full + smallBuffer), 300_000, full},
	} {
		r := newMachine(t)
		r.s.bufs.limit = tt.limit
		r.route = func(*Exchange) (Route, error) {
			return Route{Rewrite: func([]byte, *Exchange, []byte) ([]byte, error) { panic("not called") }}, nil
		}
		request := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(tt.length) + "\r\n\r\n" + strings.Repeat("x", tt.length)
		r.read(program, request[:cmp.Or(tt.sent, len(request))])
		r.expect(program, "refused")
		assert.ErrorIs(t, r.refusal, ErrNoBuffers, name)
		r.wantEnds(EndRefused)
	}
}

// TestMalformedBodyDuringAHold is of a body that is to be rewritten.
func TestMalformedBodyDuringAHold(t *testing.T) {
	r := newMachine(t)
	r.route = func(*Exchange) (Route, error) {
		return Route{Rewrite: func([]byte, *Exchange, []byte) ([]byte, error) { panic("not called") }}, nil
	}
	r.read(program, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	r.read(program, "oops")
	r.expect(program, "refused")
	assert.Equal(t, "lingers, FIN", r.closed())
	r.wantEnds(EndRefused)
}

// TestNoContinueForHTTP10 holds a request whose program would take a 100 Continue for the
// response.
func TestNoContinueForHTTP10(t *testing.T) {
	for version, want := range map[string]string{"1.1": "HTTP/1.1 100 Continue\r\n\r\n", "1.0": ""} {
		r := newMachine(t)
		r.route = func(*Exchange) (Route, error) {
			return Route{Rewrite: func([]byte, *Exchange, []byte) ([]byte, error) { panic("not called") }}, nil
		}
		r.read(program, "POST / HTTP/"+version+"\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		r.expect(program, want)
	}
}

// TestRefusalBehindAContinue refuses a request after a 100 Continue was sent in
// part.
func TestRefusalBehindAContinue(t *testing.T) {
	r := newMachine(t)
	r.held(errTest)
	r.read(program, expecting)
	const first = "HTTP/1.1 100 Con"
	r.wrote(program, len(first), r.now)
	r.read(program, "hi")
	r.expect(program, continue100[len(first):]+"refused")
	r.wantEnds(EndRefused)
}

// TestContinueOutlastsTheUpstream has the request that a 100 Continue asked for
// go to another upstream before it was written.
func TestContinueOutlastsTheUpstream(t *testing.T) {
	r := newMachine(t)
	r.held(nil)
	r.sendsFirst()
	r.responds()
	r.read(program, expecting)
	b := r.pending(program) // a write that has not returned yet
	r.flows[upstream].writing = true
	r.read(program, "hi")
	r.connect()
	r.wrote(program, len(b), r.now)
	r.expect(upstream, getRequest)
	r.responds()
	r.wantEnds(EndComplete, EndComplete)
}

// TestUnaskedBytesDuringAHold has the upstream send bytes while a request is held
// to be signed: they are no response to it, which is not sent.
func TestUnaskedBytesDuringAHold(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	r.route = func(*Exchange) (Route, error) {
		return Route{Key: Key{Host: "h"}, Rewrite: func(dst []byte, _ *Exchange, _ []byte) ([]byte, error) {
			return append(dst, getRequest...), nil
		}}, nil
	}
	const head, body = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n", "body"
	r.read(program, head)
	r.responds()
	r.read(program, body)
	r.expect(upstream, "")
	if !r.over() && r.stage != stageLinger {
		t.Errorf("stage %d", r.stage)
	}
	r.wantEnds(EndComplete)
}
