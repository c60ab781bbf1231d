package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// maxHello limits a ClientHello with its record headers. Those in use stay
// below 4 KiB.
const maxHello = 32 << 10

var (
	errHello        = errors.New("the ClientHello was read")
	errHelloLarge   = errors.New("the ClientHello is too large")
	errNoServerName = errors.New("the ClientHello names no server")
)

// greet begins a connection on which TLS comes unasked: it is served as one
// that sent a CONNECT to the server that its ClientHello names. It reports
// whether there is one.
func (c *conn) greet() bool {
	c.now = time.Now()
	if d := c.s.cfg.Timeouts.TLSHandshake; d > 0 {
		c.cl.nc.SetReadDeadline(c.now.Add(d)) //nolint:errcheck // reading tells
	}
	if c.s.draining.Load() {
		return false
	}
	name, read, err := readHello(c.s.ctx, c.cl.nc)
	if !c.state.CompareAndSwap(stateIdle, stateBusy) {
		return false
	}
	if err != nil {
		if !c.isKilled() {
			c.h.Secured(err)
		}
		c.now = time.Now()
		c.write(alert(alertUnrecognizedName)) //nolint:errcheck // nobody may be there any more
		return false
	}
	c.cl.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // reading tells
	c.pretend(name+":443", read)
	return true
}

// pretend has the connection served as one that sent a CONNECT, and behind it
// what was read.
func (c *conn) pretend(authority string, read []byte) {
	head := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
	b := c.s.bufs.getLarge()
	if n := len(head) + len(read); n > len(b.free()) {
		c.s.bufs.put(b)
		b = &buffer{b: make([]byte, headroom+n)}
		b.reset()
	}
	b.w += copy(b.free(), head)
	b.w += copy(b.free(), read)
	c.in = b
	c.x.Hello = true
}

// readHello reads a ClientHello and returns the server it names, with all that
// was read, also on error.
func readHello(ctx context.Context, nc net.Conn) (name string, read []byte, err error) {
	r := &helloReader{Conn: nc}
	err = tls.Server(r, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, errHello
		},
	}).HandshakeContext(ctx)
	switch {
	case !errors.Is(err, errHello):
		return "", r.read, err
	case !isServerName(name):
		return "", r.read, errNoServerName
	}
	return name, r.read, nil
}

// isServerName reports whether s is spelled like a host name, so that it can
// stand in a CONNECT.
func isServerName(s string) bool {
	for _, c := range []byte(s) {
		if c != '.' && c != '-' && c != '_' && !isAlnum(c) {
			return false
		}
	}
	return s != "" && len(s) <= 253
}

// helloReader lets crypto/tls read a ClientHello without the client noticing.
type helloReader struct {
	net.Conn
	read []byte
}

func (r *helloReader) Read(p []byte) (int, error) {
	if len(r.read) >= maxHello {
		return 0, errHelloLarge
	}
	n, err := r.Conn.Read(p[:min(len(p), maxHello-len(r.read))])
	r.read = append(r.read, p[:n]...)
	return n, err
}

// Write sends nothing: the answer is the business of whoever serves the client.
func (r *helloReader) Write(p []byte) (int, error) { return len(p), nil }

// Close does nothing either.
func (r *helloReader) Close() error { return nil }

// The alerts that tell a client why there is no TLS (RFC 8446, 6.2).
const (
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// alert returns a fatal alert, in a record of its own.
func alert(description byte) []byte { return []byte{21, 3, 1, 0, 2, 2, description} }

// refusalAlert is what a client whose TLS came unasked is told in place of an
// answer in HTTP, which it could not read.
func (x *Exchange) refusalAlert() []byte {
	if x.route.Key == (Key{}) {
		return alert(alertUnrecognizedName)
	}
	return alert(alertInternalError)
}
