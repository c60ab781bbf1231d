//go:build !linux

package collector

import (
	"errors"
	"net"
	"net/netip"
)

// TransparentSupported reports whether this system can redirect connections to
// a transparent listener.
const TransparentSupported = false

func originalDestination(net.Conn) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}
