package relay

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestKillDuringARefusal stops the server while the refusal of a request that
// could not be read is sent.
func TestKillDuringARefusal(t *testing.T) {
	r := newMachine(t)
	r.read(program, "GET\r\n\r\n")
	r.kill(r.now)
	r.wantEnds(EndRefused)
}

// TestMalformedBodyWhileDialing checks that no byte of the request is sent.
func TestMalformedBodyWhileDialing(t *testing.T) {
	r := newMachine(t)
	r.read(program, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	r.read(program, "1\r\na\r\n")
	r.read(program, "oops")
	assert.Nil(t, r.space(program), "more is read")
	r.connect()
	r.expect(upstream, "")
	r.expect(program, "refused")
	r.wantEnds(EndRefused)
}

// TestRefusalOfRedirectedTLS has nothing be said to a program that sent no CONNECT.
func TestRefusalOfRedirectedTLS(t *testing.T) {
	r := newMachine(t)
	r.hello, r.destination = true, netip.MustParseAddrPort("192.0.2.1:443")
	r.route = func(*Exchange) (Route, error) { return Route{}, errTest }
	r.read(program, connectRequest)
	assert.Equal(t, "RST, RST", r.closed())
	r.wantEnds(EndRefused)
	assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
}

// TestUpstreamEndsDuringARefusal has a read that began before the refused
// request show the end of the upstream connection: no request goes there.
func TestUpstreamEndsDuringARefusal(t *testing.T) {
	for _, how := range []reception{receivedEnd, receivedCut, receivedReset} {
		r := newMachine(t)
		r.sendsFirst()
		r.responds()
		r.space(upstream)
		r.route = func(*Exchange) (Route, error) { return Route{}, errors.New("no") }
		r.read(program, getRequest)
		r.ended(upstream, how, r.now)
		r.expect(program, "refused")
		assert.True(t, r.over(), "the pair goes on")
	}
}

// TestDrainingBeforeARefusal stops the server gently before a request is refused.
func TestDrainingBeforeARefusal(t *testing.T) {
	for _, draining := range []bool{false, true} {
		r := newMachine(t)
		r.route = func(*Exchange) (Route, error) {
			r.s.draining.Store(draining)
			return Route{}, errTest
		}
		r.read(program, getRequest)
		r.expect(program, "refused")
		assert.Equal(t, draining, r.last, "the response says that it is the last one")
		assert.Equal(t, draining, r.stage != stageIdle, "the connection is closed")
	}
}
