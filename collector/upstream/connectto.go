package upstream

import (
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/usererror"
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
	from, to, _ := strings.Cut(s, "=")
	host, port := hostname.Of(from)
	addr, toPort := hostname.Of(to)
	if host == "" || port == 0 || addr == "" || toPort == 0 {
		return ConnectTo{}, usererror.New(strconv.Quote(s)+" does not redirect a host", "write HOST:PORT=ADDR:PORT, as in api.example:443=10.0.0.1:8443 or api.example:443=[::1]:443")
	}
	return ConnectTo{host: host, port: port, to: addr.WithPort(toPort)}, nil
}

// String returns c in the syntax of ParseConnectTo.
func (c ConnectTo) String() string { return c.host.WithPort(c.port) + "=" + c.to }
