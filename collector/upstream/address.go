package upstream

import (
	"net/netip"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// check refuses an address of our own listeners and, unless the address is
// trusted, addresses that only this machine can reach.
func (d *Dialer) check(address string, host hostname.Name, trusted bool) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return forbiddenAddress(host)
	}
	if d.cfg.Guard.Listens(ap) {
		return ownAddress(host)
	}
	if !trusted && !d.allows(ap.Addr()) {
		return forbiddenAddress(host)
	}
	return nil
}

// allows reports whether a name in a request may resolve to ip.
func (d *Dialer) allows(ip netip.Addr) bool { return d.cfg.AnyAddress || !isForbidden(ip.Unmap()) }

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
