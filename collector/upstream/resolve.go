package upstream

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"time"
)

// dialBy connects to address with nd. The host is resolved by r, or by nd if r
// is nil. The addresses that r returns are tried in order.
func dialBy(ctx context.Context, nd *net.Dialer, r Resolver, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil || r == nil {
		return nd.DialContext(ctx, "tcp", address)
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var first error
	for i, a := range addrs {
		nc, err := dialOne(ctx, nd, net.JoinHostPort(a.String(), port), len(addrs)-i)
		if err == nil {
			return nc, nil
		}
		first = cmp.Or(first, err)
	}
	return nil, cmp.Or(first, error(&net.DNSError{Err: errNoSuchHost.Error(), Name: host, IsNotFound: true}))
}

// dialOne connects to one of left remaining addresses, within an equal share of
// the time that remains.
func dialOne(ctx context.Context, nd *net.Dialer, address string, left int) (net.Conn, error) {
	if by, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(by)/time.Duration(left))
		defer cancel()
	}
	return nd.DialContext(ctx, "tcp", address)
}
