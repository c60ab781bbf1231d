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

// Policy says where requests may go.
type Policy struct {
	// TapHosts are the hosts whose calls are observed, on any port; none is
	// DefaultTapHosts.
	TapHosts []HostPattern
	// OtherHosts is what becomes of requests for all other hosts. With
	// OtherPass, addresses are not restricted either: it is for listeners that
	// only one program can reach, which could connect there itself.
	OtherHosts OtherHosts
	// ConnectTo leads connections to other addresses; the first that fits is
	// taken. Only by it can a connection go to a loopback or link-local
	// address.
	ConnectTo []ConnectTo
	// UpstreamScheme is "https" to speak TLS to the tapped hosts also where the
	// program speaks plain HTTP: on port 443 where it meant port 80, else on
	// the port it names. "" or "http" is to speak as the program does.
	UpstreamScheme string
	// Resolver finds the addresses of upstreams; nil is the system's way. Where
	// that leads back to us, by a hosts file or hostAliases, a DNS leads past
	// it.
	Resolver Resolver
	// Proxy returns the proxy by which to reach a host, nil for none; it must
	// answer alike for the life of the policy, and at once. Tunnels and https
	// go through it by CONNECT, http in absolute form, and all of them by SOCKS
	// where it is one. Hosts in ConnectTo do without. Its URL may be http,
	// https, socks5 or socks5h, with a user and password. nil is no proxy ever.
	Proxy func(scheme, host string, port uint16) (*url.URL, error)
	// Mark is set on connections to upstreams (SO_MARK), so that rules which
	// redirect to us can leave them out. It takes CAP_NET_ADMIN, and Linux. 0 is
	// none.
	Mark uint32
	// RootCAs verifies the upstreams; nil is the system's roots.
	RootCAs *x509.CertPool
}

// DefaultTapHosts returns the pattern of the API's hosts.
func DefaultTapHosts() []HostPattern {
	return []HostPattern{{name: "api.ksyun.com", wild: true}}
}

// HostPattern is a host name, or all names below one.
type HostPattern struct {
	name string
	wild bool
}

// ParseHostPattern reads "host.example", "*.example.com", where the star stands
// for one or more labels, or an IP address.
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

// String spells the pattern as ParseHostPattern reads it.
func (p HostPattern) String() string {
	if p.wild {
		return "*." + p.name
	}
	return p.name
}

// Match reports whether host, in lower case and without port, fits.
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

// OtherHosts is what becomes of requests for hosts that are not tapped.
type OtherHosts uint8

// The choices.
const (
	OtherRefuse  OtherHosts = iota // answer with an error of our own
	OtherForward                   // pass on unseen, to ports 80 and 443 of public and private addresses
	OtherPass                      // pass on unseen, to wherever the program could connect itself
)

var otherHosts = []string{OtherRefuse: "refuse", OtherForward: "forward", OtherPass: "pass"}

// String spells the choice.
func (o OtherHosts) String() string { return otherHosts[o] }

// Set reads "refuse", "forward" or "pass"; with String it makes a flag.
func (o *OtherHosts) Set(s string) error {
	i := slices.Index(otherHosts, s)
	if i < 0 {
		return fmt.Errorf("%q is none of %s", s, strings.Join(otherHosts, ", "))
	}
	*o = OtherHosts(i) //nolint:gosec // an index of three
	return nil
}

// ConnectTo leads connections for one host and port elsewhere. TLS goes on to
// be verified for the host.
type ConnectTo struct {
	host, to string // to is ADDR:PORT
	port     uint16
}

// ParseConnectTo reads "HOST:PORT=ADDR:PORT". IPv6 addresses stand in
// brackets; ADDR may be a name.
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

// String spells c as ParseConnectTo reads it.
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

// hostKey spells a host the one way it is compared: lower case, no last dot,
// IP addresses in their usual form.
func hostKey(b []byte) string {
	s := strings.TrimSuffix(strings.ToLower(string(b)), ".")
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap().String()
	}
	return s
}

// destination is where requests with one authority go.
type destination struct {
	key     relay.Key
	tapped  bool
	tunnel  bool           // its bytes are passed on unseen
	blind   bool           // and it is to a tapped host
	via     *via           // nil is straight
	proxied *relay.Proxied // by way of via, for requests in plain HTTP
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

// destination decides where a request for authority goes, which was
// asked for by an https target or not.
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
