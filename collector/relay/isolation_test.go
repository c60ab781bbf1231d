package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// A second program is unharmed by whatever a first one has done to the
// connections it uses.

// serveUpstream has each connection of the relay's served by serve, numbered from
// 1 in the order in which they came.
func (r *rig) serveUpstream(serve func(n int, nc net.Conn)) {
	go func() {
		for n := 1; ; n++ {
			nc, err := r.back.Accept()
			if err != nil {
				return
			}
			if r.upTLS {
				nc = tls.Server(nc, testTLS())
			}
			go func() {
				defer nc.Close()
				serve(n, nc)
			}()
		}
	}()
}

// ignoring answers every head with its target and takes what follows for the
// next request, as a server does that ignores bodies.
func ignoring(_ int, nc net.Conn) {
	br := bufio.NewReader(nc)
	for {
		target := ""
		for i := 0; ; i++ {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if line = strings.TrimRight(line, "\r\n"); line == "" {
				break
			}
			if i == 0 {
				_, target, _ = strings.Cut(line, " ")
				target, _, _ = strings.Cut(target, " ")
			}
		}
		if _, err := io.WriteString(nc, responseWith(target)); err != nil {
			return
		}
	}
}

func responseWith(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// unharmed has a program send requests and wants their responses and nothing else.
func (p *peer) unharmed(requests int) {
	p.t.Helper()
	for i := range requests {
		target := fmt.Sprintf("/own%d", i)
		p.Send("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
		p.Expect(responseWith(target))
	}
	p.ExpectNothing()
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

// doubtful are requests of which an upstream may ignore the body.
func doubtful(t *testing.T) map[string]string {
	file := testfile.Read(t, "testdata/isolation/ignored-body.req")
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(smuggled), smuggled)
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)
	return map[string]string{
		"GET with a length":     "GET / HTTP/1.1\r\nHost: h\r\n" + length,
		"chunked GET":           "GET / HTTP/1.1\r\nHost: h\r\n" + chunked,
		"expecting":             "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" + length,
		"POST answered early":   "POST / HTTP/1.1\r\nHost: h\r\n" + length,
		"chunked, with trailer": "POST / HTTP/1.1\r\nHost: h\r\n" + strings.TrimSuffix(chunked, "\r\n") + "A: b\r\n\r\n",
		"OPTIONS":               "OPTIONS * HTTP/1.1\r\nHost: h\r\n" + length,
		"HEAD":                  "HEAD / HTTP/1.1\r\nHost: h\r\n" + length,
		"by a proxy":            string(file),
	}
}

func TestIgnoredBodyHarmsNobodyElse(t *testing.T) { eachUpstream(t, testIgnoredBodyHarmsNobodyElse) }

func testIgnoredBodyHarmsNobodyElse(t *testing.T, newRig maker) {
	for name, request := range doubtful(t) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.serveUpstream(ignoring)
			before := r.client()
			before.unharmed(1)
			for range 2 {
				r.client().Send(request)
				before.unharmed(1)
				r.client().unharmed(2)
			}
		})
	}
}

// TestBytesBehindAResponseHarmNobodyElse has them come with the response, where TLS
// holds them without the socket showing it, and behind it.
func TestBytesBehindAResponseHarmNobodyElse(t *testing.T) {
	eachUpstream(t, testBytesBehindAResponseHarmNobodyElse)
}

func testBytesBehindAResponseHarmNobodyElse(t *testing.T, newRig maker) {
	const tries = 8
	poison := responseWith("poison")
	for _, apart := range []bool{false, true} {
		t.Run(fmt.Sprintf("apart %v", apart), func(t *testing.T) {
			r := newRig(t)
			r.serveUpstream(func(n int, nc net.Conn) {
				if n%2 == 0 { // the second program's
					ignoring(n, nc)
					return
				}
				nc.Read(make([]byte, 1024))
				if apart {
					io.WriteString(nc, okResponse)
					io.WriteString(nc, poison)
				} else {
					io.WriteString(nc, okResponse+poison)
				}
				nc.Read(make([]byte, 1024))
			})
			for range tries {
				a := r.client()
				a.Send(getRequest)
				a.Expect(okResponse)
				a.Expect(poison) // as without the relay
				b := r.client()
				b.unharmed(2)
				a.Close()
				b.Close()
			}
		})
	}
}

// TestDyingConnectionHarmsNobodyElse has an upstream that closes idle connections
// close each right behind its response, unseen for a while: it answers nothing more
// on it. Programs with a connection for each call never see it.
func TestDyingConnectionHarmsNobodyElse(t *testing.T) {
	eachUpstream(t, testDyingConnectionHarmsNobodyElse)
}

func testDyingConnectionHarmsNobodyElse(t *testing.T, newRig maker) {
	const calls = 40
	r := newRig(t)
	served := make(chan struct{})
	r.serveUpstream(func(_ int, nc net.Conn) {
		nc.Read(make([]byte, 1024))
		io.WriteString(nc, okResponse)
		<-served // FIN comes once the next call is over
	})
	idle := r.client() // its connection is never closed by the program
	idle.Send(getRequest)
	idle.Expect(okResponse)
	for i := range calls {
		c := r.client()
		c.Send(getRequest)
		c.Expect(okResponse)
		if i > 0 {
			served <- struct{}{}
		}
		c.Close()
	}
	close(served)
	idle.ExpectEnd()
}

// TestForgottenConnectionHarmsNobodyElse has something between relay and upstream forget a
// connection: it ends nowhere, and nothing answers on it any more. That of its own program
// alone is affected, whose call waits as it would directly.
func TestForgottenConnectionHarmsNobodyElse(t *testing.T) {
	eachUpstream(t, testForgottenConnectionHarmsNobodyElse)
}

func testForgottenConnectionHarmsNobodyElse(t *testing.T, newRig maker) {
	r := newRig(t)
	closed := make(chan struct{})
	defer close(closed)
	r.serveUpstream(func(n int, nc net.Conn) {
		if n > 1 {
			ignoring(n, nc)
			return
		}
		nc.Read(make([]byte, 1024))
		io.WriteString(nc, okResponse)
		<-closed
	})
	forgotten := r.client()
	forgotten.Send(getRequest)
	forgotten.Expect(okResponse)
	r.client().unharmed(2) // while it is idle
	forgotten.Send(getRequest)
	for range 3 {
		r.client().unharmed(2) // while its call waits
	}
	forgotten.ExpectNothing()
}

// TestEndsReachTheirProgramAlone resets and closes one upstream connection at
// every stage of an exchange while another program's runs.
func TestEndsReachTheirProgramAlone(t *testing.T) { eachWay(t, testEndsReachTheirProgramAlone) }

func testEndsReachTheirProgramAlone(t *testing.T, newRig maker) {
	for _, sent := range []string{"", "HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", okResponse, okResponse + "more"} {
		for _, reset := range []bool{false, true} {
			r := newRig(t)
			b, bUp := r.begin(getRequest)
			a, aUp := r.begin(getRequest)
			aUp.Send(sent)
			if reset {
				aUp.Reset()
			} else {
				aUp.Close()
			}
			io.ReadAll(a) // to its end
			b.ExpectNothing()
			bUp.Deliver(okResponse, b)
			b.Deliver(getRequest, bUp)
			bUp.ExpectNothing()
			bUp.Deliver(okResponse, b)
		}
	}
}

// TestDialsOfOthersGoOn has one program wait for a connection that is never made.
func TestDialsOfOthersGoOn(t *testing.T) { eachWay(t, testDialsOfOthersGoOn) }

func testDialsOfOthersGoOn(t *testing.T, newRig maker) {
	r := newRig(t)
	dialing := make(chan struct{})
	reach := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", r.back.Addr().String())
	}
	first := make(chan struct{}, 1)
	first <- struct{}{}
	r.dial = func(ctx context.Context) (net.Conn, error) {
		select {
		case <-first:
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		default:
			return reach(ctx)
		}
	}
	stuck := r.client()
	stuck.Send(getRequest)
	<-dialing
	r.serveUpstream(ignoring)
	for range 5 {
		r.client().unharmed(3)
	}
	stuck.Reset()
	r.ends(EndComplete)
}
