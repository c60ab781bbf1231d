package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestDifferential has generated programs call generated upstreams, directly and
// through the relay: each side receives the same bytes and the same ends in the
// same order, but for what is documented.
func TestDifferential(t *testing.T) {
	eachWay(t, func(t *testing.T, newRig maker) {
		const seeds = 150
		r := newRig(t)
		for seed := range uint64(seeds) {
			d := newDialogue(seed + 1)
			direct := d.play(t, nil)
			relayed := d.play(t, r)
			if err := direct.equals(relayed); err != nil {
				t.Errorf("seed %d (%s): %v", seed+1, d.how, err)
			}
		}
	})
}

// dialogue is what a program and an upstream do on one connection.
type dialogue struct {
	plans []*plan
	g     generator
	how   ending
	last  int // how much of the last response is sent
}

// ending is how a dialogue ends.
type ending uint8

const (
	programCloses ending = iota
	programHalfCloses
	programResets
	upstreamCloses
	upstreamResets
	upstreamClosesWithin // a response
	upstreamResetsWithin
	upstreamClosesUnasked // behind bytes that nobody asked for
	endings
)

func (e ending) String() string {
	return [...]string{
		"the program closes", "the program half-closes", "the program resets", "the upstream closes", "the upstream resets",
		"the upstream closes within a response", "the upstream resets within a response", "the upstream closes behind unasked bytes",
	}[e]
}

func newDialogue(seed uint64) *dialogue {
	g := newGenerator(seed)
	d := &dialogue{g: g, how: ending(g.IntN(int(endings)))}
	for range 1 + g.IntN(4) {
		p := g.request()
		for p.closes || p.route.Proxied != nil || p.route.Keep != nil || p.skip > 0 {
			p = g.request()
		}
		g.responseTo(p, false)
		d.plans = append(d.plans, p)
	}
	a := d.plans[len(d.plans)-1].response.raw
	d.last = len(a)
	if d.how == upstreamClosesWithin || d.how == upstreamResetsWithin {
		d.last = g.IntN(len(a))
	}
	return d
}

// seen is what a side saw of a dialogue.
type seen struct {
	bytes []byte
	end   reception
}

func (s *seen) is(err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		s.end = receivedEnd
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		s.end = receivedReset
	}
}

// record is what both sides saw, and what the upstream was to see.
type record struct{ program, upstream seen }

func (a *record) equals(b *record) error {
	for _, side := range []struct {
		name string
		a, b *seen
	}{{"program", &a.program, &b.program}, {"upstream", &a.upstream, &b.upstream}} {
		if !bytes.Equal(side.a.bytes, side.b.bytes) {
			i := 0
			for i < min(len(side.a.bytes), len(side.b.bytes)) && side.a.bytes[i] == side.b.bytes[i] {
				i++
			}
			return fmt.Errorf("%s: directly %d bytes, relayed %d; at %d: %.80q, %.80q", side.name, len(side.a.bytes), len(side.b.bytes), i, side.a.bytes[i:], side.b.bytes[i:])
		}
		if side.a.end != side.b.end {
			return fmt.Errorf("%s: the end is %d directly and %d relayed", side.name, side.a.end, side.b.end)
		}
	}
	return nil
}

// play plays the dialogue, directly if r is nil. Of what the relay changes in
// requests, the direct program does without.
func (d *dialogue) play(t *testing.T, r *rig) *record {
	t.Helper()
	var c *peer
	var accept func() *peer
	if r == nil {
		ln := rawconn.Listen(t)
		c = newPeer(t, rawconn.Dial(t, ln.Addr().String()))
		accept = func() *peer { return newPeer(t, rawconn.Accept(t, ln)) }
	} else {
		c, accept = r.client(), r.upstream
	}
	rec := &record{}
	up := (*peer)(nil)
	wrote := make(chan struct{})
	for i, p := range d.plans {
		request := p.raw
		if r == nil {
			request = p.want
		}
		go func() {
			defer close(wrote)
			d.write(c, request, i)
		}()
		if up == nil {
			up = accept()
		}
		up.receive(&rec.upstream, len(p.want))
		<-wrote
		wrote = make(chan struct{})
		response, last := p.response.raw, i == len(d.plans)-1
		if last {
			response = response[:d.last]
		}
		go func() {
			defer close(wrote)
			d.write(up, response, i)
		}()
		if last && d.last < len(p.response.raw) {
			break // a response that is not whole may be held back
		}
		c.receive(&rec.program, len(response))
		<-wrote
		wrote = make(chan struct{})
	}
	if d.last < len(d.plans[len(d.plans)-1].response.raw) {
		<-wrote
	}
	d.end(c, up, rec)
	return rec
}

// write sends b in pieces.
func (d *dialogue) write(p *peer, b string, nth int) {
	g := newGenerator(uint64(len(b) + nth))
	for len(b) > 0 {
		n := len(b)
		if g.chance(50) {
			n = 1 + g.IntN(n)
		}
		if _, err := io.WriteString(p, b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// receive reads n bytes.
func (p *peer) receive(s *seen, n int) {
	b := make([]byte, n)
	k, err := io.ReadFull(p, b)
	s.bytes = append(s.bytes, b[:k]...)
	if err != nil {
		s.is(err)
	}
}

// drain reads to the end.
func (p *peer) drain(s *seen) {
	b, err := io.ReadAll(p)
	s.bytes = append(s.bytes, b...)
	s.is(err)
}

// end plays how the dialogue ends, one side after the other.
func (d *dialogue) end(c, up *peer, rec *record) {
	switch d.how {
	case programCloses:
		c.Close()
		up.drain(&rec.upstream)
		up.Close()
	case programHalfCloses:
		c.CloseWrite()
		up.drain(&rec.upstream)
		up.Close()
		c.drain(&rec.program)
	case programResets:
		c.Reset()
		up.drain(&rec.upstream)
	case upstreamClosesUnasked:
		const unasked = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
		up.Send(unasked)
		up.Close()
		c.drain(&rec.program)
	case upstreamCloses, upstreamClosesWithin:
		up.Close()
		c.drain(&rec.program)
	case upstreamResets:
		up.Reset()
		c.drain(&rec.program)
	case upstreamResetsWithin:
		// What was sent before may be lost to a reset, directly as well: it is
		// to have arrived.
		sent := d.plans[len(d.plans)-1].response.raw[:d.last]
		if whole := passedAtOnce(sent, d.plans[len(d.plans)-1]); whole {
			c.receive(&rec.program, len(sent))
			up.Reset()
			c.drain(&rec.program)
			return
		}
		up.Reset()
		_, err := io.ReadAll(c)
		rec.program.is(err)
	}
}

// passedAtOnce reports whether nothing of what was sent of a response is held back.
func passedAtOnce(sent string, p *plan) bool {
	return p.response.blank > 0 && len(sent) > p.response.blank+2
}

// TestEndsOfBothSidesKeepTheirOrder has both sides end what they send while an
// exchange runs, in either order.
func TestEndsOfBothSidesKeepTheirOrder(t *testing.T) {
	eachWay(t, testEndsOfBothSidesKeepTheirOrder)
}

func testEndsOfBothSidesKeepTheirOrder(t *testing.T, newRig maker) {
	const response = "HTTP/1.1 200 OK\r\n\r\nuntil the end"
	t.Run("the program first", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.ExpectEnd()
		up.Deliver(response, c)
		up.Close()
		c.ExpectEnd()
	})
	t.Run("the upstream first", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		up.Send(response)
		up.CloseWrite()
		c.Expect(response)
		c.ExpectEnd()
		up.ExpectEnd()
	})
	t.Run("while the request is sent", func(t *testing.T) {
		r := newRig(t)
		const part = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\npart"
		c, up := r.begin(part)
		up.Send(response)
		up.CloseWrite()
		c.Expect(response)
		c.ExpectEnd()
		up.ExpectEnd()
	})
}

// TestFaultsAtEveryStage has the upstream reset, close or fall silent at every
// stage of an exchange. What the program sees is what it would see directly; if
// the upstream is silent, what the relay's timeouts say.
func TestFaultsAtEveryStage(t *testing.T) { eachWay(t, testFaultsAtEveryStage) }

func testFaultsAtEveryStage(t *testing.T, newRig maker) {
	const (
		head = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"
		post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
	)
	half := strings.Repeat("x", 100_000)
	type ends struct{ close, reset, silence End }
	for _, stage := range []struct {
		name, request, sent string
		held                bool // sent is held back until it is more
		early               bool // the request goes on
		ends
	}{
		{"before the response", getRequest, "", false, false, ends{EndClosed, EndReset, EndTimeout}},
		{"within the request's body", post + "part", "", false, true, ends{EndClosed, EndReset, EndCanceled}},
		{"behind an interim response", getRequest, continue100, false, false, ends{EndClosed, EndReset, EndTimeout}},
		{"within the head", getRequest, "HTTP/1.1 200 OK\r\nA: b", true, false, ends{EndClosed, EndReset, EndTimeout}},
		{"behind the head", getRequest, head, false, false, ends{EndClosed, EndReset, EndTimeout}},
		{"within the body", getRequest, head + half, false, false, ends{EndClosed, EndReset, EndTimeout}},
		{"within a chunk", getRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", false, false, ends{EndClosed, EndReset, EndTimeout}},
		{"within the trailers", getRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", false, false, ends{EndClosed, EndReset, EndTimeout}},
		{"within a body until close", getRequest, "HTTP/1.1 200 OK\r\n\r\nhalf", false, false, ends{EndComplete, EndReset, EndTimeout}},
		{"within an early response", post + "part", head + half, false, true, ends{EndClosed, EndReset, EndCanceled}},
		{"within a head that is too long", getRequest, "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 300_000), false, false, ends{EndHeadTooLong, EndHeadTooLong, EndHeadTooLong}},
		{"within what cannot be read", getRequest, "SSH-2.0-x\r\n", false, false, ends{EndBadResponse, EndBadResponse, EndBadResponse}},
	} {
		for _, fault := range []string{"close", "reset", "silence"} {
			t.Run(stage.name+", "+fault, func(t *testing.T) {
				r := newRig(t, func(c *Config) {
					if fault == "silence" {
						t.Parallel()
						c.Timeouts.Response, c.Timeouts.Stall, c.Timeouts.Unframed = inTime, inTime, inTime
					}
				})
				c, up := r.begin(stage.request)
				go io.WriteString(up, stage.sent)
				if !stage.held {
					c.Expect(stage.sent)
				}
				want := stage.close
				switch fault {
				case "close":
					up.Close()
				case "reset":
					want = stage.reset
					up.Reset()
				case "silence":
					want = stage.silence
				}
				_, err := io.ReadAll(c)
				if reset := fault == "reset" || fault == "silence" && want == EndCanceled; reset != errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the program saw %v", err)
				}
				r.ends(want)
			})
		}
	}
}
