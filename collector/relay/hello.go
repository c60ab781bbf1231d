package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// maxHello limits a ClientHello with its record headers: it is copied several times while
// it is read. Those in use stay below 4 KiB.
const maxHello = 16 << 10

var (
	errHello        = errors.New("the ClientHello was read")
	errHelloLarge   = errors.New("the ClientHello is too large")
	errNoServerName = errors.New("the ClientHello names no server")
	errNotServed    = errors.New("the ClientHello offers no version of TLS, or no protocol within, that is served")
)

// greet begins a connection that starts with TLS. It is served like one that sent
// a CONNECT to the server named by its ClientHello. It reports whether there is
// one.
func (p *pair) greet() bool {
	if !p.expect(p.s.cfg.Timeouts.TLSHandshake) {
		return false
	}
	name, read, err := readServerName(p.s.ctx, p.cl)
	switch {
	case !p.expected():
		return false
	case err != nil:
		p.m.h.Secured(err)
		p.say(alert(alertUnrecognizedName)) //nolint:errcheck // the program may have closed the connection
		return false
	}
	p.pretend(name+":443", read)
	return true
}

// pretend has the connection served as one that sent a CONNECT, and behind it
// what was read.
func (p *pair) pretend(authority string, read []byte) {
	head := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
	p.m.feed(append([]byte(head), read...))
	p.m.hello = true
}

// say writes to the program.
func (p *pair) say(b []byte) error {
	if d := p.s.cfg.Timeouts.Stall; d > 0 {
		p.cl.SetWriteDeadline(time.Now().Add(d)) //nolint:errcheck // a closed connection shows on writing
		defer p.cl.SetWriteDeadline(time.Time{}) //nolint:errcheck // likewise
	}
	n, err := p.cl.Write(b)
	if x := p.m.x; x != nil {
		x.ResponseBytes += int64(n)
	}
	return err
}

// readHello reads a ClientHello and returns the server it names, with all that
// was read, also on error. It is an error if a server with cfg could not answer it; cfg
// may be nil.
func readHello(ctx context.Context, nc net.Conn, cfg *tls.Config) (name string, read []byte, err error) {
	r := &helloReader{Conn: nc}
	err = tls.Server(r, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if cfg != nil && !serves(cfg, hello) {
				return nil, errNotServed
			}
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

// serves reports whether a server with cfg has a version of TLS in common with a
// ClientHello, and a protocol within if both name some (ALPN).
func serves(cfg *tls.Config, hello *tls.ClientHelloInfo) bool {
	oldest := cmp.Or(cfg.MinVersion, tls.VersionTLS12)
	version := slices.ContainsFunc(hello.SupportedVersions, func(v uint16) bool {
		return oldest <= v && v <= tls.VersionTLS13 // others are random (RFC 8701)
	})
	return version && (len(cfg.NextProtos) == 0 || len(hello.SupportedProtos) == 0 ||
		slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(cfg.NextProtos, p) }))
}

// readServerName is readHello, but also reads a name that ends with a dot. A
// connection to that server can only be tunnelled.
func readServerName(ctx context.Context, nc net.Conn) (name string, read []byte, err error) {
	name, read, err = readHello(ctx, nc, nil)
	if err == nil {
		return name, read, nil
	}
	if name = dottedName(read); name != "" {
		err = nil
	}
	return name, read, err
}

// isServerName reports whether s is spelled like a host name, so that it can
// stand in a CONNECT.
func isServerName(s string) bool {
	name, port, ok := hostname.SplitAuthority([]byte(s))
	return ok && port == 0 && string(name) == s && s != "" && len(s) <= 253
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

// Write sends nothing: the ClientHello is answered by whatever serves the client.
func (r *helloReader) Write(p []byte) (int, error) { return len(p), nil }

// The alerts that say why there is no TLS (RFC 8446, 6.2).
const (
	alertAccessDenied     = 49
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// alert returns a fatal alert, in a record of its own.
func alert(description byte) []byte { return []byte{21, 3, 1, 0, 2, 2, description} }

// refusalAlert is what a program whose TLS came unasked gets in place of a
// response in HTTP, which it could not read.
func (x *Exchange) refusalAlert() []byte {
	if x.route.Key == (Key{}) {
		return alert(alertUnrecognizedName)
	}
	return alert(alertInternalError)
}
