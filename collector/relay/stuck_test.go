package relay

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// fill writes until nothing more is taken for a while. A slow machine may make it stop
// early: what follows happens in time all the same.
func (p *peer) fill() {
	p.SetDeadline(time.Now().Add(6 * patience))
	var taken atomic.Int64
	go func() {
		for b := make([]byte, 64<<10); ; taken.Add(1) {
			if _, err := p.Write(b); err != nil {
				return // the test has ended the connection
			}
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for before := int64(-1); before != taken.Load(); <-tick.C {
		before = taken.Load()
	}
}

const endlessRequest = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n"

// TestResetDuringAnUpload has a program reset its connection while the upstream takes
// nothing more of its request, or is not reached.
func TestResetDuringAnUpload(t *testing.T) { eachWay(t, testResetDuringAnUpload) }

func testResetDuringAnUpload(t *testing.T, newRig maker) {
	for _, reached := range []bool{true, false} {
		r := newRig(t)
		var c, up *peer
		if reached {
			c, up = r.begin(endlessRequest)
		} else {
			c = r.connecting(endlessRequest)
		}
		c.fill()
		c.Reset()
		r.ends(EndCanceled)
		if reached {
			up.SetReadDeadline(time.Now().Add(patience))
			_, err := io.Copy(io.Discard, up.TCPConn)
			assert.Error(t, err, "the upstream saw no reset")
		}
	}
}

// slowToEnd is a connection whose end the other side is slow to take.
type slowToEnd struct {
	net.Conn
	ending  chan<- struct{}
	release <-chan struct{}
}

func (s slowToEnd) NetConn() net.Conn { return s.Conn.(interface{ NetConn() net.Conn }).NetConn() }

func (s slowToEnd) wait() error {
	s.ending <- struct{}{}
	<-s.release
	return errors.New("the end was not taken")
}

func (s slowToEnd) Close() error { return s.wait() }

func (s slowToEnd) CloseWrite() error { return s.wait() }

// TestEndThatIsNotTakenHoldsNothingUp has the upstream take neither close_notify nor
// anything else: whoever has to do with the pair need not wait for it.
func TestEndThatIsNotTakenHoldsNothingUp(t *testing.T) {
	eachWay(t, testEndThatIsNotTakenHoldsNothingUp)
}

func testEndThatIsNotTakenHoldsNothingUp(t *testing.T, newRig maker) {
	for name, leave := range map[string]func(c *peer){
		"closed":      func(c *peer) { c.Close() },
		"half-closed": func(c *peer) { c.CloseWrite() },
	} {
		for _, request := range []string{getRequest, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"} {
			r := newRig(t)
			r.upTLS = true
			ending, release := make(chan struct{}, 2), make(chan struct{})
			r.wrap = func(nc net.Conn) net.Conn { return slowToEnd{nc, ending, release} }
			c := r.client()
			if request != getRequest && r.tls != nil {
				continue
			}
			c.Send(request)
			up := r.upstream()
			if request == getRequest {
				up.Expect(request)
			} else {
				c.Expect(established)
			}
			leave(c)
			<-ending
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.srv.each((*pair).drain)
				r.srv.each((*pair).yield)
				r.srv.each((*pair).kill)
			}()
			select {
			case <-done:
			case <-time.After(patience):
				t.Errorf("%s, %.7s: the pair is held up", name, request)
			}
			close(release)
			<-done
		}
	}
}
