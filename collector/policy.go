package collector

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// Policy decides where requests may go, and how.
type Policy struct {
	// TapHosts are the hosts whose calls are observed, on any port. If empty,
	// DefaultTapHosts are.
	TapHosts []HostPattern
	// OtherHosts decides about requests to all other hosts. OtherPass also lifts
	// the restrictions on addresses: it is for listeners that only one program
	// can reach, which could connect to the same addresses itself.
	OtherHosts OtherHosts
	// ConnectTo redirects connections to other addresses. The first match is
	// used. Only a connection that matches can go to a loopback or link-local
	// address, unless OtherHosts is OtherPass.
	ConnectTo []ConnectTo
	// UpstreamScheme is "https" to send calls to tapped hosts over TLS even if
	// the program uses plain HTTP: to port 443 instead of port 80, otherwise to
	// the port that the program names. "" and "http" keep the program's scheme.
	UpstreamScheme string
	// Resolver resolves the names of tapped hosts. If nil, the system's resolver
	// is used. A DNS bypasses a hosts file or hostAliases that leads to us.
	Resolver Resolver
	// Proxy returns the proxy through which to reach a host, or nil for a direct
	// connection. It must not block, and must return the same result for the
	// same arguments. Tunnels and https are sent with CONNECT, http in absolute
	// form; through a SOCKS proxy, all are tunnelled. Hosts in ConnectTo are
	// connected to directly. The URL's scheme is http, https, socks5 or socks5h,
	// and it may have a user and a password. If Proxy is nil, no proxy is used.
	Proxy func(scheme, host string, port uint16) (*url.URL, error)
	// Mark is set on connections to upstreams (SO_MARK), so that redirect rules
	// can exclude them. It needs Linux and CAP_NET_ADMIN. 0 sets no mark.
	Mark uint32
	// RootCAs verifies the upstreams' certificates. If nil, the system's roots
	// do.
	RootCAs *x509.CertPool
}

// DefaultTapHosts returns the pattern that matches all hosts of the API.
func DefaultTapHosts() []HostPattern {
	return []HostPattern{{name: "api.ksyun.com", wild: true}}
}

// HostPattern matches one host name, or all names below a domain.
type HostPattern struct {
	name string
	wild bool
}

// ParseHostPattern parses "host.example", an IP address, or "*.example.com",
// where the star stands for one or more labels.
func ParseHostPattern(s string) (HostPattern, error) {
	name, wild := strings.CutPrefix(strings.ToLower(s), "*.")
	name = strings.TrimSuffix(name, ".")
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && !wild {
		return HostPattern{name: ip.String()}, nil
	}
	switch {
	case !isHostName(name):
		return HostPattern{}, fmt.Errorf("host pattern %q: want a host name, *.DOMAIN or an IP address, without port", s)
	case wild && !strings.Contains(name, "."):
		return HostPattern{}, fmt.Errorf("host pattern %q: too wide; name at least two labels after the star", s)
	}
	return HostPattern{name: name, wild: wild}, nil
}

// String returns the pattern in the syntax of ParseHostPattern.
func (p HostPattern) String() string {
	if p.wild {
		return "*." + p.name
	}
	return p.name
}

// Match reports whether p matches host, which is in lower case and has no port.
func (p HostPattern) Match(host string) bool {
	if !p.wild {
		return host == p.name
	}
	label, ok := strings.CutSuffix(host, p.name)
	return ok && len(label) > 1 && label[len(label)-1] == '.'
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

// OtherHosts decides about requests to hosts that are not tapped.
type OtherHosts uint8

// All values of OtherHosts.
const (
	OtherRefuse  OtherHosts = iota // answer with an error of our own
	OtherForward                   // forward unobserved, to ports 80 and 443, but not to loopback and link-local addresses
	OtherPass                      // forward unobserved, to any port and address
)

var otherHosts = []string{OtherRefuse: "refuse", OtherForward: "forward", OtherPass: "pass"}

// String returns the value as it is written in flags.
func (o OtherHosts) String() string { return otherHosts[o] }

// Set parses "refuse", "forward" or "pass". Together with String it implements
// flag.Value.
func (o *OtherHosts) Set(s string) error {
	i := slices.Index(otherHosts, s)
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", s, strings.Join(otherHosts, ", "))
	}
	*o = OtherHosts(i) //nolint:gosec // 0, 1 or 2
	return nil
}

// ConnectTo redirects connections for one host and port to another address.
// Certificates are still verified for the host.
type ConnectTo struct {
	host, to string // to is ADDR:PORT
	port     uint16
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
	return ConnectTo{host: host, port: port, to: joinHostPort(addr, toPort)}, nil
}

// String returns c in the syntax of ParseConnectTo.
func (c ConnectTo) String() string { return joinHostPort(c.host, c.port) + "=" + c.to }

func splitHostPort(s string) (host string, port uint16, err error) {
	h, port, ok := http1.SplitAuthority([]byte(s))
	if !ok || len(h) == 0 || port == 0 {
		return "", 0, errors.New("want a host and a port, as in host:443 or [::1]:443")
	}
	return hostKey(h), port, nil
}

func joinHostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// hostKey returns the form of a host in which hosts are compared: lower case,
// without a trailing dot, and IP addresses in their canonical form.
func hostKey(b []byte) string {
	s := strings.TrimSuffix(strings.ToLower(string(b)), ".")
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap().String()
	}
	return s
}

// destination is where requests with one authority are sent.
type destination struct {
	key     relay.Key
	tapped  bool
	tunnel  bool           // bytes are relayed without being parsed
	blind   bool           // a tunnel to a tapped host
	via     *via           // the upstream proxy; nil for a direct connection
	proxied *relay.Proxied // set for requests sent to via in plain HTTP
}

func (d *destination) scheme() string {
	if d.key.TLS {
		return "https"
	}
	return "http"
}

func (r *rules) taps(host string) bool {
	for _, p := range r.policy.TapHosts {
		if p.Match(host) {
			return true
		}
	}
	return false
}

// destination returns where a request for authority is sent. https reports whether
// the program asked for https.
func (r *rules) destination(authority []byte, https bool) (destination, error) {
	name, port, ok := http1.SplitAuthority(authority)
	if !ok || len(name) == 0 {
		return destination{}, errNoRoute
	}
	host := hostKey(name)
	d := destination{key: relay.Key{Host: host}, tapped: r.taps(host)}
	switch {
	case port != 0:
	case https:
		port = 443
	default:
		port = 80
	}
	switch {
	case d.tapped:
		if !https && r.policy.UpstreamScheme == "https" {
			https = true
			if port == 80 {
				port = 443
			}
		}
	case r.policy.OtherHosts == OtherRefuse:
		return d, refuseHost(host)
	case r.policy.OtherHosts == OtherForward && port != 80 && port != 443:
		return d, refusePort(host)
	}
	d.key = relay.Key{Host: host, Port: port, TLS: https, Epoch: r.epoch}
	proxy, err := r.proxyFor(d.key)
	if err != nil {
		return d, err
	}
	if d.via = proxy; proxy != nil && !https {
		d.key.Forwarding = true
		d.proxied = proxy.proxied(d.key)
	}
	return d, nil
}
