package relay

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// later has a second pass.
func (r *machineRig) later() { r.now = r.now.Add(time.Second) }

// closed is how the program's connection and the upstream's are closed.
func (r *machineRig) closed() string {
	names := [...]string{closeFIN: "FIN", closeCut: "cut", closeReset: "RST"}
	switch {
	case r.stage == stageLinger:
		return "lingers, " + names[r.bye[upstream]]
	case r.over():
		return names[r.bye[program]] + ", " + names[r.bye[upstream]]
	}
	return "open"
}

const (
	halfPost  = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo"
	halfReply = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo"
)

// waits has a machine wait for something, by its name.
func (r *machineRig) waits(what string) {
	r.t.Helper()
	switch what {
	case "a request", "a request, behind empty lines", "the rest of a head", "a body to be rewritten", "more of what nobody asked for", "a refusal to be taken":
		r.sendsFirst()
		r.responds()
		r.ends = nil
		r.later()
	case "the rest of a request", "the rest of a request that was answered":
		r.read(program, halfPost[:len(halfPost)-1])
		r.connect()
		r.written(upstream)
		r.later()
		r.read(program, halfPost[len(halfPost)-1:])
		r.written(upstream)
	case "a request to be taken":
		r.read(program, halfPost)
		r.connect()
		r.later()
		r.wrote(upstream, 1, r.now)
	case "an upstream", "a program that was refused", "a program that sends on after it was refused":
	default:
		r.sendsFirst()
		r.later()
	}
	switch what {
	case "a request, behind empty lines":
		r.read(program, "\r\n\r")
		r.read(program, "\n")
		r.later()
	case "the rest of a head":
		r.read(program, "GET / HT")
		r.later()
		r.read(program, "TP/1.1\r\n")
	case "a body to be rewritten":
		r.held(nil)
		r.read(program, strings.Replace(expecting, "other", "h", 1))
		r.written(program)
	case "more of what nobody asked for":
		r.read(upstream, "408")
		r.expect(program, "408")
	case "a refusal to be taken":
		r.route = func(*Exchange) (Route, error) { return Route{}, errors.New("no") }
		r.read(program, getRequest)
	case "a program that was refused":
		r.read(program, "GET\r\n\r\n")
		r.expect(program, "refused")
		r.ends = nil
	case "a program that sends on after it was refused":
		r.waits("a program that was refused")
		r.later()
		r.read(program, "more")
	case "an upstream":
		r.read(program, getRequest)
		r.take()
	case "the rest of a request that was answered":
		r.responds()
		r.ends = nil
	case "the response to a half-closed program":
		r.ended(program, receivedEnd, r.now)
	case "the rest of a response":
		r.read(upstream, halfReply)
		r.expect(program, halfReply)
	case "a response to be taken":
		r.read(upstream, halfReply)
	case "the last bytes to be taken":
		r.read(upstream, halfReply)
		r.ended(upstream, receivedEnd, r.now)
	case "more of what is no HTTP":
		r.read(upstream, "SSH-")
		r.expect(program, "SSH-")
	}
}

// TestDeadlines lets the deadline of each stage pass.
func TestDeadlines(t *testing.T) {
	limits := Timeouts{ReadHead: 3 * time.Second, ClientIdle: 5 * time.Second, Response: 7 * time.Second, Stall: 11 * time.Second, Unframed: 13 * time.Second, Linger: 17 * time.Second}
	for what, tt := range map[string]struct {
		limit  time.Duration // what is left of it
		closed string
		ends   []End
	}{
		"a request":                               {limits.ClientIdle - time.Second, "FIN, FIN", nil},
		"a request, behind empty lines":           {limits.ClientIdle - time.Second, "FIN, FIN", nil},
		"the rest of a head":                      {limits.ReadHead - time.Second, "lingers, FIN", nil},
		"a body to be rewritten":                  {limits.Stall, "lingers, FIN", nil},
		"an upstream":                             {0, "open", nil},
		"a request to be taken":                   {limits.Stall, "lingers, FIN", []End{EndTimeout}},
		"the rest of a request":                   {limits.Stall, "RST, RST", []End{EndCanceled}},
		"the rest of a request that was answered": {limits.Stall, "RST, RST", nil},
		"a response":                              {limits.Response - time.Second, "FIN, FIN", []End{EndTimeout}},
		"the rest of a response":                  {limits.Response, "FIN, FIN", []End{EndTimeout}},
		"a response to be taken":                  {limits.Stall, "RST, RST", []End{EndCanceled}},
		"the last bytes to be taken":              {limits.Stall, "RST, RST", []End{EndClosed}},
		"the response to a half-closed program":   {limits.Response, "FIN, FIN", []End{EndTimeout}},
		"more of what is no HTTP":                 {limits.Unframed, "FIN, FIN", []End{EndBadResponse}},
		"more of what nobody asked for":           {limits.Unframed, "FIN, FIN", nil},
		"a refusal to be taken":                   {limits.Stall, "RST, RST", []End{EndRefused}},
		"a program that was refused":              {limits.Linger, "FIN, FIN", nil},

		"a program that sends on after it was refused": {limits.Linger, "FIN, FIN", nil},
	} {
		t.Run(what, func(t *testing.T) {
			r := newMachine(t)
			r.s.cfg.Timeouts = limits
			r.waits(what)
			at, limited := r.deadline()
			if assert.Equal(t, tt.limit > 0, limited); !limited {
				return
			}
			assert.Equal(t, r.now.Add(tt.limit), at)
			r.expired(at)
			assert.Equal(t, tt.closed, r.closed())
			r.wantEnds(tt.ends...)
			if len(tt.ends) > 0 {
				assert.Equal(t, at, r.observed.Finish, "the end is observed")
			}
		})
	}
}

// TestEndsInEachStage has either side end while something else is waited for.
func TestEndsInEachStage(t *testing.T) {
	for _, tt := range []struct {
		what            string
		by              side
		fin, cut, reset string // how the connections are closed
		ends            []End  // after a reset
	}{
		{"a request", program, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"a request", upstream, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"a request, behind empty lines", program, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"a request, behind empty lines", upstream, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"the rest of a head", program, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"the rest of a head", upstream, "lingers, FIN", "cut, cut", "RST, RST", nil},
		{"a body to be rewritten", program, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"a body to be rewritten", upstream, "lingers, FIN", "cut, cut", "RST, RST", nil},
		{"more of what nobody asked for", program, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"more of what nobody asked for", upstream, "FIN, FIN", "cut, cut", "RST, RST", nil},
		{"an upstream", program, "open", "open", "open", nil}, // the dial is given up first
		{"a response", program, "open", "open", "RST, RST", []End{EndCanceled}},
		{"the response to a half-closed program", program, "open", "open", "RST, RST", []End{EndCanceled}},
		{"the rest of a request", program, "open", "open", "RST, RST", []End{EndCanceled}},
		{"the rest of a request that was answered", program, "FIN, FIN", "FIN, FIN", "RST, RST", nil},
		{"the rest of a request that was answered", upstream, "lingers, FIN", "cut, FIN", "RST, RST", nil},
		{"a response to be taken", program, "open", "open", "RST, RST", []End{EndCanceled}},
		{"the last bytes to be taken", program, "open", "open", "RST, RST", []End{EndClosed}},
		{"a refusal to be taken", program, "open", "open", "RST, RST", []End{EndRefused}},
		{"a program that was refused", program, "FIN, FIN", "FIN, FIN", "FIN, FIN", nil},
	} {
		for how, want := range map[reception]string{receivedEnd: tt.fin, receivedCut: tt.cut, receivedReset: tt.reset} {
			r := newMachine(t)
			r.s.pause = time.Hour // no request comes after one
			r.waits(tt.what)
			r.ended(tt.by, how, r.now)
			assert.Equal(t, want, r.closed(), "%s, side %d, %d", tt.what, tt.by, how)
			if how == receivedReset {
				r.wantEnds(tt.ends...)
			}
		}
	}
}

// TestHalfClosedProgramGetsAllTime has a program close its sending side behind its
// request. It has the same time for the response as any other, before it and within.
func TestHalfClosedProgramGetsAllTime(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
	r := newMachine(t)
	r.s.cfg.Timeouts = DefaultTimeouts()
	r.sendsFirst()
	r.ended(program, receivedEnd, r.now)
	assert.NotZero(t, r.take()&effectEndUpstream, "the end is passed on")
	for _, part := range []string{head, "a", "b"} {
		at, limited := r.deadline()
		require.True(t, limited, "before %q", part)
		require.Equal(t, r.now.Add(r.s.cfg.Timeouts.Response), at, "before %q", part)
		r.now = at.Add(-1)
		r.read(upstream, part)
		r.expect(program, part)
	}
	r.read(upstream, "c")
	r.expect(program, "c")
	r.wantEnds(EndComplete)
	assert.Equal(t, "FIN, FIN", r.closed())
}

// TestMakingRoomAndStopping asks a connection to make room for another one, or to stop,
// before the head of a request is whole. Empty lines are none.
func TestMakingRoomAndStopping(t *testing.T) {
	for what, early := range map[string]string{
		"a request":                     "FIN, FIN",
		"a request, behind empty lines": "FIN, FIN",
		"the rest of a head":            "open", // which has waited for a second already
	} {
		for makeRoom, want := range map[time.Duration]string{time.Second + 1: early, time.Second: "FIN, FIN"} {
			r := newMachine(t)
			r.s.cfg.Timeouts.MakeRoom = makeRoom
			r.waits(what)
			r.yield(r.now)
			assert.Equal(t, want, r.closed(), "%s: asked to make room after %v", what, makeRoom)
			assert.Equal(t, want != "open", r.s.Stats().Reclaimed == 1, "%s: counted", what)
		}
		r := newMachine(t)
		r.waits(what)
		r.ahead = true
		r.yield(r.now)
		assert.Equal(t, "open", r.closed(), "%s: a request is on its way", what)
		assert.Zero(t, r.s.Stats().Reclaimed, "%s: a request is on its way", what)
		r = newMachine(t)
		r.waits(what)
		r.drain(r.now)
		assert.Equal(t, "FIN, FIN", r.closed(), "%s: asked to stop", what)
	}
}
