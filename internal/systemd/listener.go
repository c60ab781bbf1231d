package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// Listener is a net.Listener whose Check verifies that connections are accepted.
// Connections made by Check are closed by Accept and not returned.
type Listener struct {
	net.Listener

	mu     sync.Mutex
	checks map[int]bool // local ports of the checks in progress
}

// NewListener returns a Listener that accepts from ln and takes ownership of it.
func NewListener(ln net.Listener) *Listener {
	return &Listener{Listener: ln, checks: map[int]bool{}}
}

// Accept waits for the next connection that was not made by Check.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil || !l.ofCheck(nc) {
			return nc, err
		}
		nc.Close()
	}
}

// ofCheck reports whether nc was made by a check: it comes from this host, and
// from a port that a check holds.
func (l *Listener) ofCheck(nc net.Conn) bool {
	remote, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	return ok && l.checks[remote.Port] && remote.IP.Equal(local.IP)
}

// Check returns an error unless a new connection is accepted. The kernel
// establishes connections before they are accepted, so connecting is not enough.
func (l *Listener) Check(ctx context.Context) error {
	to, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%s is not a TCP listener", l.Addr())
	}
	target := *to
	if target.IP.IsUnspecified() {
		if target.IP = net.IPv6loopback; to.IP.To4() != nil {
			target.IP = net.IPv4(127, 0, 0, 1)
		}
	}
	// The port is reserved before connecting, so that Accept knows it in time.
	port := 0
	d := net.Dialer{Control: func(network, _ string, c syscall.RawConn) error {
		p, err := bindAnyPort(network, c)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		port = p
		l.checks[port] = true
		return nil
	}}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.checks, port)
	}()
	nc, err := d.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return fmt.Errorf("connect to our own listener: %w", err)
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	// Accept closes the connection without sending anything.
	if _, err := nc.Read(make([]byte, 1)); ctx.Err() != nil {
		return fmt.Errorf("connections to %s are not accepted: %w", target.String(), errors.Join(ctx.Err(), err))
	}
	return nil
}
