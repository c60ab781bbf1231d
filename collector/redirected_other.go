//go:build !linux

package collector

import (
	"errors"
	"net"
	"net/netip"
)

// CanRedirect tells whether connections can be redirected to us on this system.
const CanRedirect = false

func originalDestination(net.Conn) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}

func setMark(uintptr, uint32) error { return errors.ErrUnsupported }
