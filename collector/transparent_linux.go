package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// TransparentSupported reports whether this system can redirect connections to
// a transparent listener.
const TransparentSupported = true

// originalDestination returns the destination of a connection before it was
// redirected, from the kernel (SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST). It returns
// ErrDirect if the connection was not redirected.
func originalDestination(nc net.Conn) (netip.AddrPort, error) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return netip.AddrPort{}, errors.New("not a TCP connection")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, errors.New("not a TCP connection")
	}
	var to netip.AddrPort
	var asked error
	err = raw.Control(func(fd uintptr) {
		if local.AddrPort().Addr().Unmap().Is4() {
			to, asked = original4(fd)
		} else {
			to, asked = original6(fd)
		}
	})
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case errors.Is(asked, unix.ENOENT):
		return netip.AddrPort{}, ErrDirect
	case asked != nil:
		return netip.AddrPort{}, fmt.Errorf("get the original destination: %w", asked)
	case !usable(to) || same(nc, to):
		return netip.AddrPort{}, ErrDirect
	}
	return to, nil
}

// original4 returns the original destination of an IPv4 connection. x/sys/unix has no
// function for SO_ORIGINAL_DST, so original4 uses one whose result has room for a
// sockaddr_in (16 bytes).
func original4(fd uintptr) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	sa := m.Multiaddr // family, port, address
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(sa[4:8])), binary.BigEndian.Uint16(sa[2:4])), nil
}

// original6 returns the original destination of an IPv6 connection, with a
// function whose result begins with a sockaddr_in6.
func original6(fd uintptr) (netip.AddrPort, error) {
	const ip6tOriginalDst = 80 // IP6T_SO_ORIGINAL_DST, the same number as for IPv4
	info, err := unix.GetsockoptIPv6MTUInfo(int(fd), unix.SOL_IPV6, ip6tOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var port [2]byte
	binary.NativeEndian.PutUint16(port[:], info.Addr.Port)
	return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr).Unmap(), binary.BigEndian.Uint16(port[:])), nil
}
