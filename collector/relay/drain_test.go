package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// clientHello is one that a program sends.
func clientHello(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(theirs, anyServer).Handshake()
		theirs.Close()
	}()
	b := make([]byte, maxHello)
	n, err := ours.Read(b)
	ours.Close()
	assert.NoError(t, err)
	return string(b[:n])
}

// read waits until the server has read what the client sent, where the system shows
// that.
func (p *peer) read() {
	p.t.Helper()
	address := func(a net.Addr) string {
		at := addrPort(a)
		ip := at.Addr().As4()
		return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], at.Port())
	}
	want := address(p.RemoteAddr()) + " " + address(p.LocalAddr()) + " "
	for until := time.Now().Add(patience); ; runtime.Gosched() {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			return
		}
		_, line, found := strings.Cut(string(table), want)
		if !found || time.Now().After(until) {
			p.t.Fatal("the server does not read")
		}
		var state, sent, unread int
		if _, err := fmt.Sscanf(line, "%X %X:%X", &state, &sent, &unread); err == nil && unread == 0 {
			return
		}
	}
}

// ownTLS adds a listener to the rig with TLS in its own name, and returns its address.
func (r *rig) ownTLS() string {
	r.t.Helper()
	ln := rawconn.Listen(r.t)
	in := r.intake(false)
	in.TLS = testTLS()
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ln, in) }()
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		r.srv.Shutdown(ctx)
		assert.NoError(r.t, <-served, "Serve")
	})
	return ln.Addr().String()
}

// eachUnfinished calls f for each driver and each way in which a program can send less
// than a request, in parallel, when the server has read that. idle is set if the program
// has sent nothing that a request may begin with.
func eachUnfinished(t *testing.T, makeRoom time.Duration, f func(t *testing.T, r *rig, c *peer, idle bool)) {
	t.Helper()
	hello := clientHello(t)
	server := func(r *rig) string { return r.front }
	starttls := func(r *rig) string { return r.frontTLS }
	redirected := func(r *rig) string { return r.redirected("h") }
	const nothing = "nothing"
	tests := map[string]struct {
		to      func(*rig) string
		connect bool
		sent    string
	}{
		nothing:                                {server, false, ""},
		"one byte":                             {server, false, "G"},
		"half a head":                          {server, false, "GET / HTTP/1.1\r\nHost: h\r\n"},
		"a CONNECT":                            {server, true, ""},
		"a CONNECT, one byte of TLS":           {server, true, hello[:1]},
		"a CONNECT, half a ClientHello":        {server, true, hello[:len(hello)/2]},
		"a CONNECT, a ClientHello":             {server, true, hello},
		"a CONNECT, one byte of a head":        {server, true, "G"},
		"a CONNECT, half a head":               {server, true, "GET / HTTP/1.1\r\nHost: h\r\n"},
		"TLS, nothing":                         {starttls, false, ""},
		"TLS, half a ClientHello":              {starttls, false, hello[:len(hello)/2]},
		"TLS in our own name, nothing":         {(*rig).ownTLS, false, ""},
		"TLS in our own name, a ClientHello":   {(*rig).ownTLS, false, hello},
		"TLS in our own name, half of it":      {(*rig).ownTLS, false, hello[:len(hello)/2]},
		"redirected, half a ClientHello":       {redirected, false, hello[:len(hello)/2]},
		"redirected, half a head":              {redirected, false, "GET / HTTP/1.1\r\nHost: h\r\n"},
		"redirected, one byte of what will be": {redirected, false, "G"},
	}
	for driver, newRig := range map[string]maker{"loop": newTLSRig, "blocking": func(t testing.TB, change ...func(*Config)) *rig {
		return newTLSRig(t, append(change, func(c *Config) { c.Loops = -1 })...)
	}} {
		for name, tt := range tests {
			t.Run(driver+", "+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(c *Config) {
					c.Timeouts.Linger, c.Timeouts.TLSHandshake, c.Timeouts.ReadHead = time.Hour, time.Hour, time.Hour
					c.Timeouts.MakeRoom = makeRoom
				})
				r.plain, r.srv.sniff = tt.connect, time.Hour
				c := r.dialTo(tt.to(r))
				if tt.connect {
					c.Send(connectRequest)
					c.Expect(established)
				}
				if tt.sent != "" {
					c.Send(tt.sent)
				}
				c.read()
				for r.srv.Stats().OpenClients == 0 {
					runtime.Gosched()
				}
				f(t, r, c, name == nothing)
				assert.Empty(t, r.reported, "there was no exchange")
				assert.Empty(t, r.secured, "nor a handshake that failed")
			})
		}
	}
}

// TestShutdownBeforeARequest stops the server while a program has sent less than a
// request. It is not waited for: not for the rest, and not for the program to close
// its side.
func TestShutdownBeforeARequest(t *testing.T) {
	eachUnfinished(t, time.Hour, func(t *testing.T, r *rig, _ *peer, _ bool) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		assert.NoError(t, r.srv.Shutdown(ctx))
	})
}

// TestUnfinishedMakesRoom needs room while a program has sent less than a request. It
// makes room, unless it has some time to send the rest.
func TestUnfinishedMakesRoom(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		eachUnfinished(t, 0, func(t *testing.T, r *rig, c *peer, _ bool) {
			rawconn.Await(t, func() bool {
				r.srv.Reclaim()
				return r.srv.Stats().OpenClients == 0
			}, "it does not make room")
			_, err := io.Copy(io.Discard, c)
			assert.NoError(t, err)
		})
	})
	t.Run("later", func(t *testing.T) {
		eachUnfinished(t, time.Hour, func(t *testing.T, r *rig, _ *peer, idle bool) {
			if !idle {
				rawconn.Await(t, func() bool { return !r.srv.Reclaim() }, "it makes room")
				assert.EqualValues(t, 1, r.srv.Stats().OpenClients)
			}
		})
	})
}
