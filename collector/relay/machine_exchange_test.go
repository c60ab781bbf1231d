package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMalformedBodyAfterTheResponse checks that the exchange, which was reported with the
// response, is not reported again.
func TestMalformedBodyAfterTheResponse(t *testing.T) {
	r := newMachine(t)
	const post = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
	r.sends(post)
	r.responds()
	r.wantEnds(EndComplete)
	r.read(program, "oops")
	r.wantEnds(EndComplete)
	assert.Equal(t, [2]closing{closeReset, closeReset}, r.bye)
}

// TestIncompleteHeadIsShown closes the connection within the head of a response.
func TestIncompleteHeadIsShown(t *testing.T) {
	const interim, begin = "HTTP/1.1 103 E\r\n\r\n", "HTTP/1.1 500 X\r\nX-KSC-REQUEST-ID: a\r\n"
	r := newMachine(t)
	r.sendsFirst()
	r.read(upstream, interim)
	r.expect(program, interim)
	r.read(upstream, begin)
	r.ended(upstream, receivedEnd, r.now)
	r.expect(program, begin)
	r.wantEnds(EndClosed)
	assert.Equal(t, begin, r.cutHead)

	r = newMachine(t)
	r.sendsFirst()
	r.read(upstream, halfReply)
	r.ended(upstream, receivedEnd, r.now)
	r.expect(program, halfReply)
	r.wantEnds(EndClosed)
	assert.Empty(t, r.cutHead, "the head is whole")
}

// TestUpstreamEndsBehindAnotherProtocol has the response be complete that says that another
// protocol follows.
func TestUpstreamEndsBehindAnotherProtocol(t *testing.T) {
	const response = "HTTP/1.1 101 Switching Protocols\r\n\r\nbytes"
	r := newMachine(t)
	r.sendsFirst()
	r.read(upstream, response)
	r.expect(program, response)
	r.ended(upstream, receivedEnd, r.now)
	r.wantEnds(EndComplete)
}

// TestUpstreamRefusesTheRestOfAWholeRequest answers early and breaks: the
// connection is not used for another request.
func TestUpstreamRefusesTheRestOfAWholeRequest(t *testing.T) {
	r := newMachine(t)
	r.read(program, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"+getRequest)
	r.connect()
	r.wrote(upstream, 1, r.now)
	r.refused(upstream, r.now)
	r.responds()
	r.expect(upstream, "")
	r.wantEnds(EndComplete)
}

// TestUnaskedBytesDuringAHead has the upstream send bytes before the request is whole.
func TestUnaskedBytesDuringAHead(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	r.read(program, getRequest[:5])
	r.responds()
	r.read(program, getRequest[5:])
	r.expect(upstream, "")
	assert.Equal(t, "lingers, FIN", r.closed())
	r.wantEnds(EndComplete)
}

// TestDrainingWithinAnExchange has draining begin when it is too late to have the
// response's head say so: the connections close all the same.
func TestDrainingWithinAnExchange(t *testing.T) {
	const half = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo"
	drain := func(r *machineRig) {
		r.s.draining.Store(true)
		r.drain(r.now)
		if r.over() {
			r.t.Fatal("the exchange was given up")
		}
	}
	for name, test := range map[string]func(r *machineRig){
		"within the response's body": func(r *machineRig) {
			r.sendsFirst()
			r.read(upstream, okResponse[:len(okResponse)-1])
			r.expect(program, okResponse[:len(okResponse)-1])
			drain(r)
			r.read(upstream, okResponse[len(okResponse)-1:])
			r.expect(program, okResponse[len(okResponse)-1:])
			r.wantEnds(EndComplete)
		},
		"before the response to half a request": func(r *machineRig) {
			r.sends(half)
			drain(r)
			r.read(upstream, okResponse)
			r.expect(program, strings.Replace(okResponse, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			r.wantEnds(EndComplete)
		},
		"within a request that was answered": func(r *machineRig) {
			r.sends(half)
			r.responds()
			drain(r)
			r.read(program, "dy")
			r.expect(upstream, "dy")
			r.wantEnds(EndComplete)
		},
		"within a refusal": func(r *machineRig) {
			r.route = func(*Exchange) (Route, error) { return Route{}, errTest }
			r.read(program, getRequest)
			drain(r)
			r.expect(program, "refused")
			r.wantEnds(EndRefused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			test(r)
			if !r.over() && r.stage != stageLinger {
				t.Errorf("stage %d", r.stage)
			}
		})
	}
}

// TestEarlyConnection has the first request come when there is a connection to where
// the program's was redirected from: one that is to be sent within TLS gets another.
func TestEarlyConnection(t *testing.T) {
	for _, tls := range []bool{false, true} {
		r := newMachine(t)
		r.conn = connEarly
		r.route = func(*Exchange) (Route, error) { return Route{Key: Key{Host: "h", TLS: tls}}, nil }
		r.read(program, getRequest)
		want := effects(0)
		if tls {
			want = effectDial | effectDropUpstream
		}
		assert.Equal(t, want, r.take(), "TLS: %v", tls)
	}
}

// TestRequestAtTheEndOfTheUpstream has the upstream end at the moment when the program
// sends another request.
func TestRequestAtTheEndOfTheUpstream(t *testing.T) {
	const posting = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	first := func(r *machineRig, pause time.Duration) {
		r.sendsFirst()
		r.responds()
		r.now = r.now.Add(pause)
	}
	for what, tt := range map[string]struct {
		before   func(r *machineRig, pause time.Duration) // the end
		rest     string                                   // of the request, behind it
		replaced bool
	}{
		"no request": {first, getRequest, false},
		"it is on its way": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.ahead = true
		}, getRequest, true},
		"its head is": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, "GET / HT")
		}, "TP/1.1\r\nHost: h\r\n\r\n", true},
		"its body is": {func(r *machineRig, pause time.Duration) {
			r.held(nil)
			first(r, pause)
			r.read(program, posting)
			r.expect(program, continue100)
		}, "ok", true},
		"a second one is": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, getRequest)
			r.expect(upstream, getRequest)
			r.responds()
			r.now = r.now.Add(pause)
			r.ahead = true
		}, getRequest, true},
		"it was sent": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, getRequest)
			r.expect(upstream, getRequest)
		}, "", false},
		"it is to be sent": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, getRequest)
		}, "", false},
		"behind unasked bytes": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(upstream, "408")
			r.expect(program, "408")
			r.ahead = true
		}, getRequest, false},
		"the first on a connection that was made early": {func(r *machineRig, _ time.Duration) {
			r.conn, r.ahead = connEarly, true
		}, getRequest, false},
	} {
		for _, end := range []reception{receivedEnd, receivedCut, receivedReset} {
			for _, pause := range []time.Duration{pauseTime, pauseTime - 1} {
				t.Run(fmt.Sprintf("%s, %d, after %v", what, end, pause), func(t *testing.T) {
					r := newMachine(t)
					tt.before(r, pause)
					require.NotNil(t, r.space(upstream), "the upstream is read")
					r.ended(upstream, end, r.now)
					if !tt.replaced || pause < pauseTime {
						for r.stage == stageLast || r.stage == stageLinger {
							r.expired(r.now.Add(time.Hour))
						}
						assert.True(t, r.over(), "the pair goes on")
						return
					}
					assert.Equal(t, effectDropUpstream, r.take(), "what is wanted")
					assert.Equal(t, (&machine{got: [2]reception{upstream: end}}).echo(upstream), r.bye[upstream], "it is closed")
					answered := len(r.ends)
					r.read(program, tt.rest)
					r.connect()
					r.expect(upstream, getRequest)
					r.responds()
					assert.Len(t, r.ends, answered+1)
					assert.Equal(t, EndComplete, r.ends[answered])
					r.ahead = false
					r.ended(upstream, end, r.now)
					assert.True(t, r.over(), "the next end is not passed on")
				})
			}
		}
	}
}
