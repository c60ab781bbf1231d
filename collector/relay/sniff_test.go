package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	dialing "github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// redirected adds a listener to the rig whose connections were bound for its
// upstream, and returns its address. Plain HTTP for host is served.
func (r *rig) redirected(host string) string {
	r.t.Helper()
	ln := rawconn.Listen(r.t)
	in := r.intake(false)
	in.Destination = func(nc net.Conn) (netip.AddrPort, error) {
		if r.looping {
			return addrPort(nc.LocalAddr()), r.direct
		}
		return addrPort(r.back.Addr()), nil
	}
	in.Serves = func(h []byte) bool { return host != "" && string(h) == host }
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

// unserved is what clients may send to where the tap has no business.
func unserved(t testing.TB) map[string]string {
	const get = "GET / HTTP/1.1\r\nHost: other\r\n\r\n"
	return map[string]string{
		"HTTP":                get,
		"HTTP, two":           get + get,
		"HTTP with a body":    "POST / HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP without a host": "GET / HTTP/1.0\r\n\r\n",
		"HTTP/0.9":            "GET /\r\n",
		"to a proxy":          "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"CONNECT":             connectRequest,
		"two hosts":           "GET / HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n",
		"bare LF":             "GET / HTTP/1.1\nHost: h\n\n",
		"half a head":         "GET / HTTP/1.1\r\nHost: h\r\n",
		"half a line":         "GET / HT",
		"a large head":        "GET / HTTP/1.1\r\nHost: other\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n",
		"another protocol":    "EHLO there\r\nQUIT\r\n",
		"a text":              "hello",
		"one byte":            "x",
		"binary":              "\x00\x01\x02\xff",
		"TLS":                 string(hello(t, &tls.Config{ServerName: "other"})),
		"TLS without a name":  string(hello(t, &tls.Config{})),
		"half of TLS":         string(hello(t, &tls.Config{ServerName: "other"})[:100]),
		"TLS, not a hello":    "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
		"TLS, too large":      "\x16\x03\x01\x40\x00\x01\x00\xff\xff" + strings.Repeat("\x00", 40<<10),
		"an empty line first": "\r\n" + get,
	}
}

// TestUnservedPassesUntouched sends it whole and byte by byte: it arrives as it
// is, and so does the response.
func TestUnservedPassesUntouched(t *testing.T) {
	for name, sent := range unserved(t) {
		for how, size := range map[string]int{"whole": len(sent), "in pieces": max(1, len(sent)/40)} {
			t.Run(name+" "+how, func(t *testing.T) {
				r := newRig(t)
				c := r.dialTo(r.redirected("h"))
				c.TCPConn.SetNoDelay(true)
				go func() {
					for rest := sent; rest != ""; {
						n := min(size, len(rest))
						io.WriteString(c, rest[:n])
						rest = rest[n:]
					}
					c.CloseWrite()
				}()
				up := r.upstream()
				got, err := io.ReadAll(up)
				if err != nil || string(got) != sent {
					t.Fatalf("%d of %d bytes arrived, or others: %v\n%.300q", len(got), len(sent), err, got)
				}
				up.Send("whatever\n")
				up.Close()
				c.Expect("whatever\n")
				c.ExpectEnd()
				assert.Equal(t, "CONNECT", r.ends(EndComplete).method, "reported")
				if s := r.srv.Stats(); s.Tunnels != 1 || s.OpenTunnels != 0 || s.OpenUpstreams != 0 || s.Dials != 1 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// TestServedHTTPIsRead sends a request for a served host in every split.
func TestServedHTTPIsRead(t *testing.T) {
	const request = "POST /path HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
	r := newRig(t)
	at := r.redirected("h")
	for split := 1; split < len(request); split++ {
		c := r.dialTo(at)
		c.TCPConn.SetNoDelay(true)
		c.Send(request[:split])
		go io.WriteString(c, request[split:])
		up := r.upstream()
		up.Expect(request)
		up.Deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", c)
		if n := r.ends(EndComplete); n.method != "POST" || n.target != "/path" || n.reqBody != "hi" {
			t.Fatalf("split at %d: reported %+v", split, n)
		}
		c.Close()
	}
}

// TestServerSpeaksFirst has a client that waits for that.
func TestServerSpeaksFirst(t *testing.T) {
	r := newRig(t)
	c := r.dialTo(r.redirected("h"))
	up := r.upstream()
	up.Deliver("220 ready\r\n", c)
	c.Deliver("QUIT\r\n", up)
	up.Close()
	c.ExpectEnd()
	c.Close()
	r.ends(EndComplete)
	if s := r.srv.Stats(); s.Dials != 1 || s.OpenUpstreams != 0 {
		t.Errorf("%+v", s)
	}
}

// TestReservedConnection is opened before there is anything to say.
func TestReservedConnection(t *testing.T) {
	t.Run("HTTP", func(t *testing.T) {
		r := newRig(t)
		c := r.dialTo(r.redirected("h"))
		up := r.early()
		c.Deliver("GET / HTTP/1.1\r\nHost: h\r\n\r\n", up)
		up.Deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", c)
		n := r.ends(EndComplete)
		assert.Equal(t, "GET", n.method, "reported %+v", n)
	})
	t.Run("TLS", func(t *testing.T) {
		r := newRig(t)
		r.tls = testTLS()
		c := r.dialTo(r.redirected("h"))
		up := r.early()
		c.handshake(tls.Client)
		up.ExpectEnd() // it was of no use
		c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		up = r.upstream()
		up.Expect("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		up.Deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", c)
	})
	t.Run("closed unused", func(t *testing.T) {
		r := newRig(t)
		c := r.dialTo(r.redirected("h"))
		up := r.early()
		c.Close()
		up.ExpectEnd()
	})
	t.Run("server stopped", func(t *testing.T) {
		r := newRig(t)
		c := r.dialTo(r.redirected("h"))
		up := r.early()
		assert.NoError(t, r.srv.Shutdown(t.Context()))
		c.ExpectEnd()
		up.ExpectEnd()
	})
}

// TestUnreachableIsReset has no server at the destination: to programs that
// looks as it would without us.
func TestUnreachableIsReset(t *testing.T) {
	for name, sent := range map[string]string{"silent": "", "unserved": "hello", "TLS": string(hello(t, &tls.Config{ServerName: "other"}))} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.dial = func(context.Context) (net.Conn, error) { return nil, errors.New("nobody is there") }
			c := r.dialTo(r.redirected("h"))
			c.Send(sent)
			c.ExpectReset()
		})
	}
}

// signalGuard reports which connections were accepted.
type signalGuard struct {
	*dialing.Guard

	accepted chan netip.AddrPort // their source addresses
}

func (g signalGuard) Accepted(from, to netip.AddrPort) error {
	err := g.Guard.Accepted(from, to)
	g.accepted <- from
	return err
}

// TestOwnConnectionIsKnown redirects the relay's own connection to itself.
func TestOwnConnectionIsKnown(t *testing.T) {
	guard := signalGuard{dialing.NewGuard(nil), make(chan netip.AddrPort, 8)}
	guard.Watch()
	r := newRig(t, func(c *Config) { c.Guard = guard })
	r.looping = true
	at := r.redirected("h")
	r.dial = func(ctx context.Context) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		for err == nil && <-guard.accepted != addrPort(nc.LocalAddr()) { // the program's own
		}
		return nc, err
	}
	c := r.dialTo(at)
	c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.Expect("HTTP/1.1 501 Refused\r\n")
}

// TestConnectionWithoutADestination is one that was not redirected.
func TestConnectionWithoutADestination(t *testing.T) {
	r := newRig(t)
	r.looping, r.direct = true, errTest
	nc, err := net.Dial("tcp", r.redirected("h")) // the reset may come before it returns
	if err == nil {
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		_, err = nc.Read(make([]byte, 1))
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Zero(t, r.dials.Load())
}

// FuzzUnserved sends anything to where nothing is served, in two pieces.
func FuzzUnserved(f *testing.F) {
	for _, sent := range unserved(f) {
		f.Add([]byte(sent), uint16(len(sent)/2))
	}
	r := newRig(f)
	at := r.redirected("")
	f.Fuzz(func(t *testing.T, sent []byte, split uint16) {
		if len(sent) == 0 {
			return
		}
		c := rawconn.Dial(t, at)
		i := min(int(split), len(sent))
		go func() {
			c.Write(sent[:i])
			c.Write(sent[i:])
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(rawconn.Accept(t, r.back)); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%v: sent %q, got %q", err, sent, got)
		}
	})
}

// TestRedirectedHeadsShareTheBudget has many redirected programs send the large head of a
// call at once. What is read of them, to see whose calls they are, is within the budget:
// calls beyond it pass unseen.
func TestRedirectedHeadsShareTheBudget(t *testing.T) {
	const budget, programs = 1 << 20, 60
	const most = budget + budget/headShare + programs*3*smallBuffer
	head := "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("h", 60<<10)
	for driver, newRig := range map[string]maker{"loop": newRig, "blocking": newBlockingRig} {
		t.Run(driver, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.BufferBytes = budget })
			r.srv.sniff = time.Hour
			at := r.redirected("h")
			all := make([]*peer, programs)
			for i := range all {
				all[i] = r.dialTo(at)
				all[i].SetDeadline(time.Now().Add(6 * patience))
				all[i].Send(head)
			}
			rawconn.Await(t, func() bool { return r.srv.Stats().OpenTunnels >= programs/2 }, "most are read as calls")
			assert.LessOrEqual(t, r.srv.Stats().BufferBytes, int64(most))
			for _, c := range all {
				c.Send("\r\n\r\n")
			}
			for range all {
				r.upstream().Expect(head + "\r\n\r\n")
			}
			s := r.srv.Stats()
			assert.LessOrEqual(t, s.BufferBytes, int64(most))
			assert.Less(t, s.OpenTunnels, int64(programs), "none is read as a call")
		})
	}
}
