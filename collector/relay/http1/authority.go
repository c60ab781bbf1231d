package http1

import "bytes"

// SplitAuthority splits "host", "host:port", "[v6]" or "[v6]:port"; port is 0
// where none is given. Neither user information nor percent-encoding is taken,
// nor anything else that is not spelled the same everywhere.
func SplitAuthority(b []byte) (host []byte, port uint16, ok bool) {
	host = b
	var rest []byte
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 {
			return nil, 0, false
		}
		host, rest = b[1:i], b[i+1:]
		for _, c := range host {
			if c != ':' && c != '.' && !isHex(c) {
				return nil, 0, false
			}
		}
	} else {
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			host, rest = b[:i], b[i:]
		}
		for _, c := range host {
			if c != '.' && c != '-' && c != '_' && !isAlnum(c) {
				return nil, 0, false
			}
		}
	}
	if len(host) > 255 {
		return nil, 0, false
	}
	if len(rest) <= 1 {
		return host, 0, len(rest) == 0 || rest[0] == ':'
	}
	if rest[0] != ':' || len(rest) > len(":65535") {
		return nil, 0, false
	}
	n := 0
	for _, c := range rest[1:] {
		if c < '0' || c > '9' {
			return nil, 0, false
		}
		n = n*10 + int(c-'0')
	}
	if n == 0 || n > 65535 {
		return nil, 0, false
	}
	return host, uint16(n), true
}
