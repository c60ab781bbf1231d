package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// Listener is a listener that can be seen to accept. Connections of Check are
// closed as they are accepted; whoever calls Accept never meets them.
type Listener struct {
	net.Listener

	mu     sync.Mutex
	checks map[int]bool // by the port that a check connects from
}

// NewListener returns a listener that accepts from ln, which becomes its own.
func NewListener(ln net.Listener) *Listener {
	return &Listener{Listener: ln, checks: map[int]bool{}}
}

// Accept waits for the next connection that is not of Check.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil || !l.ofCheck(nc) {
			return nc, err
		}
		nc.Close()
	}
}

// ofCheck tells the connection of a check, which comes from this host's own
// address and a port that the check holds.
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

// Check reports whether the listener's owner accepts: a connection that the
// system has established is accepted only when its turn comes.
func (l *Listener) Check(ctx context.Context) error {
	to, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%s is not for TCP", l.Addr())
	}
	target := *to
	if target.IP.IsUnspecified() {
		if target.IP = net.IPv6loopback; to.IP.To4() != nil {
			target.IP = net.IPv4(127, 0, 0, 1)
		}
	}
	// The port is known before the connection is made, and so before Accept
	// can see it.
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
	// Nothing is sent either way: the end is what is waited for.
	if _, err := nc.Read(make([]byte, 1)); ctx.Err() != nil {
		return fmt.Errorf("connections to %s are not accepted: %w", target.String(), errors.Join(ctx.Err(), err))
	}
	return nil
}
