// Package rawconn gives tests both ends of TCP connections: they write bytes as they
// are, and compare what arrives and how it ends. What does not come within Patience
// fails the test.
package rawconn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come.
const Patience = 10 * time.Second

// Nowhere is an address that refuses connections. The port of a listener that was closed
// may not: another process can listen on it.
const Nowhere = "127.0.0.1:1"

// Listen listens on a free port of 127.0.0.1 until the test ends.
func Listen(t testing.TB) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

// Serve calls serve for each connection, on a goroutine of its own, until the listener is
// closed. Connections are closed when serve returns.
func Serve(ln net.Listener, serve func(net.Conn)) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			serve(nc)
		}()
	}
}

// Receive receives from a channel. If nothing arrives, the test fails, and missing says what
// was expected.
func Receive[T any](t testing.TB, from <-chan T, missing string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(Patience):
		t.Fatal(missing)
	}
	return v
}

// Await waits until a condition holds that no channel reports. If it does not come to
// hold, the test fails, and missing says what was expected. It is formatted only then.
func Await(t testing.TB, holds func() bool, missing string, args ...any) {
	t.Helper()
	for end := time.Now().Add(Patience); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf(missing, args...)
		}
	}
}

// Conn is one end of a connection.
type Conn struct {
	net.Conn
	In *bufio.Reader // what arrives
	t  testing.TB
}

// New returns an end of a connection, which is closed when the test ends.
func New(t testing.TB, nc net.Conn) *Conn {
	nc.SetDeadline(time.Now().Add(Patience))
	t.Cleanup(func() { nc.Close() })
	return &Conn{nc, bufio.NewReader(nc), t}
}

// Dial connects to an address.
func Dial(t testing.TB, address string) *Conn {
	t.Helper()
	return New(t, Open(t, address))
}

// Accept waits for a connection.
func Accept(t testing.TB, ln *net.TCPListener) *Conn {
	t.Helper()
	ln.SetDeadline(time.Now().Add(Patience))
	nc, err := ln.Accept()
	if err != nil {
		t.Fatalf("no connection was opened: %v", err)
	}
	return New(t, nc)
}

// Within returns the end of a connection within c, such as of TLS. It has the deadlines
// of c.
func (c *Conn) Within(nc net.Conn) *Conn { return &Conn{nc, bufio.NewReader(nc), c.t} }

func (c *Conn) Read(b []byte) (int, error) { return c.In.Read(b) }

// CloseWrite ends what is sent.
func (c *Conn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// Reset closes the connection with a RST. It must be a TCP connection.
func (c *Conn) Reset() {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// Send writes s.
func (c *Conn) Send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// Expect reads as many bytes as want has and compares.
func (c *Conn) Expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if string(got[:n]) != want {
		c.t.Fatalf("got %.300q (%v)\nwant %.300q", got[:n], err, want)
	}
}

// Deliver writes s and checks that to receives it.
func (c *Conn) Deliver(s string, to interface{ Expect(want string) }) {
	c.t.Helper()
	c.Send(s)
	to.Expect(s)
}

// ExpectEnd reads to the end and wants nothing but a FIN.
func (c *Conn) ExpectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		c.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

// ExpectReset wants nothing but a RST.
func (c *Conn) ExpectReset() {
	c.t.Helper()
	if rest, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		c.t.Fatalf("got %q, %v; want a reset", rest, err)
	}
}

// Moment is how long a read or an accept is tried that is to fail. A deadline that has
// passed already would make it fail without a try.
const Moment = 10 * time.Millisecond

// ExpectNothing checks that no bytes are ready to be read.
func (c *Conn) ExpectNothing() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(Moment))
	defer c.SetReadDeadline(time.Now().Add(Patience))
	if b, err := c.In.Peek(1); len(b) > 0 || err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %q, %v; want nothing", b, err)
	}
}

// Response reads a whole response to a request that is not HEAD.
func (c *Conn) Response() (*http.Response, string) {
	c.t.Helper()
	return c.ResponseTo(http.MethodGet)
}

// ResponseTo is like Response, for a request with the method.
func (c *Conn) ResponseTo(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.In, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("half a response: %v", err)
	}
	return res, string(body)
}
