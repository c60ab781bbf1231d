package collector

import (
	"crypto/x509"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Policy decides where requests may go, and how.
type Policy struct {
	// TapHosts are the hosts whose calls are observed, on any port. If empty, those
	// of classify.APIHosts are.
	TapHosts hostname.Patterns
	// OtherHosts decides about requests to all other hosts. OtherPass also lifts
	// the restrictions on addresses: it is for listeners that only one program
	// can reach, which could connect to the same addresses itself.
	OtherHosts OtherHosts
	// ConnectTo redirects connections to other addresses. The first match is
	// used. Only a connection that matches can go to a loopback or link-local
	// address, unless OtherHosts is OtherPass.
	ConnectTo []upstream.ConnectTo
	// UpstreamScheme is "https" to send calls to tapped hosts over TLS even if
	// the program uses plain HTTP: to port 443 instead of port 80, otherwise to
	// the port that the program names. "" and "http" keep the program's scheme.
	UpstreamScheme string
	// Resolver resolves the names of tapped hosts. If nil, the system's resolver
	// is used. An upstream.DNS bypasses a hosts file or hostAliases that leads to us.
	Resolver upstream.Resolver
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

// OtherHosts decides about requests to hosts that are not tapped.
type OtherHosts uint8

// All values of OtherHosts.
const (
	OtherRefuse  OtherHosts = iota // respond with an error of our own
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
		return usererror.New(strconv.Quote(s)+" is not a treatment of other hosts", "write one of "+strings.Join(otherHosts, ", "))
	}
	*o = OtherHosts(i) //nolint:gosec // 0, 1 or 2
	return nil
}
