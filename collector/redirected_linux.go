package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CanRedirect tells whether connections can be redirected to us on this system.
const CanRedirect = true

// originalDestination asks the kernel where a connection was bound for before
// it was redirected (SO_ORIGINAL_DST of linux/netfilter_ipv4.h, and
// IP6T_SO_ORIGINAL_DST).
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
		return netip.AddrPort{}, fmt.Errorf("ask for the original destination: %w", asked)
	case !usable(to) || same(nc, to):
		return netip.AddrPort{}, ErrDirect
	}
	return to, nil
}

func original4(fd uintptr) (netip.AddrPort, error) {
	var sa unix.RawSockaddrInet4
	if err := getsockopt(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST, unsafe.Pointer(&sa), unsafe.Sizeof(sa)); err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), hostOrder(sa.Port)), nil
}

func original6(fd uintptr) (netip.AddrPort, error) {
	const ip6tOriginalDst = 80 // IP6T_SO_ORIGINAL_DST, the same number as for IPv4
	var sa unix.RawSockaddrInet6
	if err := getsockopt(fd, unix.SOL_IPV6, ip6tOriginalDst, unsafe.Pointer(&sa), unsafe.Sizeof(sa)); err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), hostOrder(sa.Port)), nil
}

// hostOrder turns a port from network order.
func hostOrder(p uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], p)
	return binary.BigEndian.Uint16(b[:])
}

func getsockopt(fd uintptr, level, name int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, uintptr(level), uintptr(name), uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setMark marks a socket, so that a rule can tell what is ours.
func setMark(fd uintptr, mark uint32) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
}
