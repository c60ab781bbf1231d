package hostname

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
	case !ok || len(host) > MaxLength:
		return nil, 0, false
	case len(rest) == 0, len(rest) == 1 && rest[0] == ':':
		return host, 0, true
	case rest[0] != ':', rest[1] == '0':
		return nil, 0, false
	}
	port, ok = portNumber(rest[1:])
	if !ok {
		return nil, 0, false
	}
	return host, port, true
}

// portNumber parses a port of digits only.
func portNumber(b []byte) (port uint16, ok bool) {
	n := 0
	for _, c := range b {
		if n = 10*n + int(c-'0'); c < '0' || c > '9' || n > 65535 {
			return 0, false
		}
	}
	return uint16(n), true
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
		if !inLabel[c] && (c != '.' || last == '.') {
			return nil, nil, false
		}
		last = c
	}
	return host, rest, true
}

// inLabel has the characters of a label.
var inLabel = func() (is [256]bool) {
	for c := range 256 {
		is[c] = isAlnum(byte(c)) || c == '-' || c == '_'
	}
	return is
}()

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z'
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
