package upstream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// ConnectTo redirects connections for one host and port to another address.
// Certificates are still verified for the host.
type ConnectTo struct {
	host hostname.Name
	port uint16
	to   string // ADDR:PORT
}

// ParseConnectTo parses "HOST:PORT=ADDR:PORT". IPv6 addresses are written in
// brackets. ADDR may be a host name.
func ParseConnectTo(s string) (ConnectTo, error) {
	from, to, ok := strings.Cut(s, "=")
	if !ok {
		return ConnectTo{}, fmt.Errorf("connect-to %q: want HOST:PORT=ADDR:PORT", s)
	}
	host, port, err := splitHostPort(from)
	if err != nil {
		return ConnectTo{}, fmt.Errorf("connect-to %q: left of =: %w", s, err)
	}
	addr, toPort, err := splitHostPort(to)
	if err != nil {
		return ConnectTo{}, fmt.Errorf("connect-to %q: right of =: %w", s, err)
	}
	return ConnectTo{host: host, port: port, to: addr.WithPort(toPort)}, nil
}

// String returns c in the syntax of ParseConnectTo.
func (c ConnectTo) String() string { return c.host.WithPort(c.port) + "=" + c.to }

func splitHostPort(s string) (host hostname.Name, port uint16, err error) {
	host, port = hostname.Of(s)
	if host == "" || port == 0 {
		return "", 0, errors.New("want a host and a port, as in host:443 or [::1]:443")
	}
	return host, port, nil
}
