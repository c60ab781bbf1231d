package http1

import (
	"bytes"
	"net/netip"
)

// SplitAuthority splits "host", "host:port", "[v6]" or "[v6]:port"; port is 0 if
// there is none. User information, percent-encoding and other forms that parsers
// understand differently are rejected.
func SplitAuthority(b []byte) (host []byte, port uint16, ok bool) {
	host, rest, ok := cutHost(b)
	switch {
	case !ok || len(host) > 255:
		return nil, 0, false
	case len(rest) == 0, len(rest) == 1 && rest[0] == ':':
		return host, 0, true
	case rest[0] != ':', rest[1] == '0':
		return nil, 0, false
	}
	n, ok := number(rest[1:])
	if !ok || n > 65535 {
		return nil, 0, false
	}
	return host, uint16(n), true //nolint:gosec // see the line before
}

// cutHost returns the host that b begins with, without brackets, and the rest.
func cutHost(b []byte) (host, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 || bytes.IndexByte(b[:i], '%') >= 0 { // a zone
			return nil, nil, false
		}
		a, err := netip.ParseAddr(string(b[1:i]))
		return b[1:i], b[i+1:], err == nil && a.Is6()
	}
	host = b
	if i := bytes.IndexByte(b, ':'); i >= 0 {
		host, rest = b[:i], b[i:]
	}
	last := byte('.') // a label may not be empty
	for _, c := range host {
		if c != '-' && c != '_' && !isAlnum(c) && (c != '.' || last == '.') {
			return nil, nil, false
		}
		last = c
	}
	return host, rest, true
}
