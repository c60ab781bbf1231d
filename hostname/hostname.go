// Package hostname parses, compares and matches the names of hosts.
//
// A host is compared in its canonical form: lower case, without a trailing dot
// and without brackets, and an IP address as netip.Addr.String writes it. A Name
// is always in that form.
package hostname

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// MaxLength is the maximum length of a host in an authority, in bytes.
	MaxLength = 255
	// maxDNS is the maximum length of a DNS name in text, in bytes (RFC 1035).
	maxDNS = 253
)

// Name is a host name or an IP address in canonical form.
type Name string

// Canonical returns the canonical form of a host, which it does not validate.
func Canonical[T ~string | ~[]byte](host T) Name {
	s := strings.TrimSuffix(strings.ToLower(string(host)), ".")
	if mayBeAddress(s) {
		if ip, err := netip.ParseAddr(s); err == nil {
			return Name(ip.Unmap().String())
		}
	}
	return Name(s)
}

// mayBeAddress reports whether s can be an IP address, so that names are not
// parsed as one.
func mayBeAddress(s string) bool {
	return s != "" && ('0' <= s[0] && s[0] <= '9' || strings.IndexByte(s, ':') >= 0)
}

// Of returns the canonical host of an authority ("host", "host:port") as
// SplitAuthority parses it, and its port; "" if it is malformed or names no host.
func Of[T ~string | ~[]byte](authority T) (host Name, port uint16) {
	h, port, ok := SplitAuthority([]byte(authority))
	if !ok || len(h) == 0 {
		return "", 0
	}
	return Canonical(h), port
}

// IP returns n as an IP address; it is invalid if n is a name.
func (n Name) IP() netip.Addr {
	if !mayBeAddress(string(n)) {
		return netip.Addr{}
	}
	ip, err := netip.ParseAddr(string(n))
	if err != nil {
		return netip.Addr{}
	}
	return ip
}

// WithPort returns n and a port as an authority, with brackets around an IPv6
// address.
func (n Name) WithPort(port uint16) string {
	return net.JoinHostPort(string(n), strconv.Itoa(int(port)))
}

// InURL returns n as it is written in a URL without a port, with brackets around
// an IPv6 address.
func (n Name) InURL() string {
	if strings.IndexByte(string(n), ':') >= 0 {
		return "[" + string(n) + "]"
	}
	return string(n)
}

// IsDNS reports whether n is a valid DNS name and does not look like an IP address.
// Underscores are allowed, because some names have them.
func (n Name) IsDNS() bool { return n.isLabels() && !n.LooksLikeIP() }

// isLabels reports whether n consists of valid labels.
func (n Name) isLabels() bool {
	if n == "" || len(n) > maxDNS {
		return false
	}
	for label := range strings.SplitSeq(string(n), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

// LooksLikeIP reports whether n is an IP address, or a name that ends in a number,
// which browsers and resolvers may interpret as one.
func (n Name) LooksLikeIP() bool {
	if strings.ContainsAny(string(n), ":[") {
		return true
	}
	last := string(n[strings.LastIndexByte(string(n), '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// IsUnder reports whether n is domain or a name below it.
func (n Name) IsUnder(domain Name) bool {
	rest, ok := strings.CutSuffix(string(n), string(domain))
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

// AppendLower appends the host of an authority as it is read for display and
// statistics: in lower case, without user, port, brackets and a trailing dot. It
// accepts what SplitAuthority refuses, and appends nothing if there is no host in
// it. It allocates only if dst is too small.
func AppendLower(dst, authority []byte) []byte {
	host := bytes.TrimSpace(authority)
	host = host[bytes.LastIndexByte(host, '@')+1:]
	if len(host) > 0 && host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 0 {
			return dst
		}
		host = host[1:end]
	} else if i := bytes.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	host = bytes.TrimSuffix(host, []byte{'.'})
	if len(host) > MaxLength {
		return dst
	}
	for _, c := range host {
		if !inLabel[c] && c != '.' && c != ':' {
			return dst
		}
	}
	for _, c := range host {
		dst = append(dst, lower(c))
	}
	return dst
}
