package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

// dialer connects to upstreams and refuses forbidden addresses.
type dialer struct {
	connect   time.Duration
	handshake time.Duration
	tls       *tls.Config
	resolver  Resolver // for tapped hosts; nil for the system's resolver
	listeners func() []net.Addr
	expect    func(net.Conn) (cameBack func() bool, forget func())
	reclaim   func() bool // frees file descriptors; false if none can be freed
	mark      uint32
	anywhere  bool              // only our own addresses are forbidden
	taps      func(string) bool // reports whether a host is tapped
}

// dial connects to dest, at the address to if that is not empty.
func (d *dialer) dial(ctx context.Context, dest *destination, to string) (net.Conn, error) {
	key := dest.key
	address, trusted := to, to != ""
	switch {
	case dest.via != nil:
		address, trusted = dest.via.name, true
	case !trusted:
		address = joinHostPort(key.Host, key.Port)
	}
	nd := net.Dialer{
		Timeout: d.connect,
		// The address is checked as it is about to be connected to, so that a
		// name cannot resolve to another address after the check.
		ControlContext: func(_ context.Context, _, address string, raw syscall.RawConn) error {
			if err := d.check(address, key.Host, trusted); err != nil {
				return err
			}
			return d.setMark(raw)
		},
	}
	resolver := d.resolver
	if !d.taps(key.Host) {
		resolver = nil
	}
	nc, err := dialBy(ctx, &nd, resolver, address)
	for tries := 3; tries > 0 && relay.IsExhausted(err) && d.reclaim(); tries-- {
		nc, err = dialBy(ctx, &nd, resolver, address)
	}
	switch {
	case err != nil && dest.via != nil:
		return nil, dest.via.failed(err)
	case err != nil:
		return nil, dialError(err, key.Host)
	}
	if d.handshake > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.handshake)
		defer cancel()
	}
	cameBack, forget := d.expect(nc)
	defer forget()
	up, err := d.prepare(ctx, nc, dest)
	if cameBack() {
		err = errCameBack
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return up, nil
}

// prepare sets up a new connection: the tunnel through the upstream proxy, if
// there is one, and TLS with the host, if the destination needs it.
func (d *dialer) prepare(ctx context.Context, nc net.Conn, dest *destination) (net.Conn, error) {
	key, v := dest.key, dest.via
	var err error
	if v != nil {
		if nc, err = v.secure(ctx, nc, d.tls); err != nil {
			return nil, err
		}
	}
	if v != nil && (key.TLS || dest.tunnel || v.socks != nil) {
		if nc, err = v.connect(ctx, nc, joinHostPort(key.Host, key.Port)); err != nil {
			return nil, err
		}
	}
	if !key.TLS {
		return nc, nil
	}
	cfg := d.tls.Clone()
	cfg.ServerName = key.Host
	tc := tls.Client(relay.Wire(nc, nil), cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, tlsFailed(err, key.Host)
	}
	return tc, nil
}

// setMark sets d.mark on a socket, unless it is 0.
func (d *dialer) setMark(raw syscall.RawConn) error {
	if d.mark == 0 {
		return nil
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = setMark(fd, d.mark) }); err != nil {
		return err
	}
	if failed != nil {
		return &refusal{fault: classify.FaultUnreachable, message: "ksyun-tap cannot mark its connections. Give it CAP_NET_ADMIN, which --upstream.mark needs.", lasting: true}
	}
	return nil
}

// check refuses an address of our own listeners and, unless the address is
// trusted, addresses that only this machine can reach.
func (d *dialer) check(address, host string, trusted bool) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuseAddress(host)
	}
	ip := ap.Addr().Unmap()
	if d.isOurs(ip, ap.Port()) {
		return refuseLoop(host)
	}
	if !trusted && !d.anywhere && isForbidden(ip) {
		return refuseAddress(host)
	}
	return nil
}

// isOurs reports whether one of our own listeners is at ip and port.
func (d *dialer) isOurs(ip netip.Addr, port uint16) bool {
	for _, a := range d.listeners() {
		tcp, ok := a.(*net.TCPAddr)
		if !ok || tcp.AddrPort().Port() != port {
			continue
		}
		at := tcp.AddrPort().Addr().Unmap()
		if at == ip || (at.IsUnspecified() || ip.IsUnspecified()) && isLocal(ip) {
			return true
		}
	}
	return false
}

// isLocal reports whether ip is an address of this machine.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // a refused call is better than a loop
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if at, ok := netip.AddrFromSlice(n.IP); ok && at.Unmap() == ip.WithZone("") {
				return true
			}
		}
	}
	return false
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	reserved    = netip.MustParsePrefix("240.0.0.0/4") // broadcast included
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
	metadata    = []netip.Addr{ // of clouds whose metadata service is not at a link-local address
		netip.MustParseAddr("100.100.100.200"),
		netip.MustParseAddr("fd00:ec2::254"),
	}
)

// isForbidden reports whether no name in a request may resolve to ip: loopback,
// link-local (where clouds serve their metadata), unspecified, multicast and
// reserved addresses. Private networks are allowed, because the API has hosts
// there.
func isForbidden(ip netip.Addr) bool {
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() ||
		thisNetwork.Contains(ip) || reserved.Contains(ip) {
		return true
	}
	return slices.Contains(metadata, ip)
}

// dialError converts an error of dialling host to a *refusal.
func dialError(err error, host string) error {
	var (
		ours *refusal
		dns  *net.DNSError
		nerr net.Error
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case relay.IsExhausted(err):
		return &refusal{fault: classify.FaultUnreachable, message: "ksyun-tap has no file descriptors left. Raise its limit (ulimit -n, or LimitNOFILE of its service), or lower --proxy.max-connections."}
	case errors.As(err, &dns):
		return &refusal{fault: classify.FaultDNS, message: "The host " + host + " cannot be resolved. Check the name and this machine's DNS, or set an address with --upstream.connect-to."}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &refusal{fault: classify.FaultConnRefused, message: "The host " + host + " refuses connections. Check the port, or set another address with --upstream.connect-to."}
	case errors.As(err, &nerr) && nerr.Timeout():
		return &refusal{fault: classify.FaultDialTimeout, message: "The host " + host + " does not answer. Check routes and firewalls between this machine and the host."}
	}
	return &refusal{fault: classify.FaultUnreachable, message: "The host " + host + " cannot be reached. Check routes and firewalls between this machine and the host."}
}

// tlsFailed converts an error of the TLS handshake with host to a *refusal.
func tlsFailed(err error, host string) error {
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return &refusal{fault: classify.FaultTLS, message: "The certificate of " + host + " cannot be verified. Name the CA that signed it with --upstream.ca-file.", lasting: true}
	}
	why := "The TLS handshake with " + host + " failed. Check that it serves TLS 1.2 or later on that port."
	if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
		why = "The TLS handshake with " + host + " timed out. If a device on the path drops large ClientHellos, start ksyun-tap with GODEBUG=tlsmlkem=0; otherwise check that the host serves TLS 1.2 or later on that port."
	}
	return &refusal{fault: classify.FaultTLS, message: why, lasting: !isPassing(err)}
}

// isPassing reports whether the connection was lost during a handshake, as
// opposed to the other side rejecting it.
func isPassing(err error) bool {
	nerr, ok := errors.AsType[net.Error](err)
	return ok && nerr.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
