package ca

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrRefused is the error for a host that is not among the permitted names, or
// is not a DNS name.
var ErrRefused = errors.New("the CA is not permitted to sign for this host")

// pattern matches a DNS name, or all names below one.
type pattern struct {
	name string
	wild bool
}

// parsePattern parses "host.example" or "*.example.com".
func parsePattern(s string) (pattern, error) {
	name, wild := strings.CutPrefix(canonical(s), "*.")
	switch {
	case isIP(name):
		return pattern{}, fmt.Errorf("permitted name %q: an IP address cannot be intercepted", s)
	case !isDNSName(name):
		return pattern{}, fmt.Errorf("permitted name %q: want a host name or *.DOMAIN", s)
	case !strings.Contains(name, "."):
		return pattern{}, fmt.Errorf("permitted name %q: too wide; name at least two labels", s)
	}
	return pattern{name: name, wild: wild}, nil
}

// match reports whether p matches host, which is in canonical form.
func (p pattern) match(host string) bool {
	if !p.wild {
		return host == p.name
	}
	return host != p.name && isUnder(host, p.name)
}

// permitted holds the names that a CA may sign for.
type permitted struct {
	patterns []pattern
	domains  []string // as X.509 name constraints: sorted, without names below others
}

func parsePermitted(names []string) (permitted, error) {
	if len(names) == 0 {
		return permitted{}, errors.New("no permitted names: a CA must have name constraints")
	}
	var p permitted
	for _, n := range names {
		pat, err := parsePattern(n)
		if err != nil {
			return permitted{}, err
		}
		p.patterns = append(p.patterns, pat)
	}
	for _, a := range p.patterns {
		covered := slices.ContainsFunc(p.patterns, func(b pattern) bool { return a.name != b.name && isUnder(a.name, b.name) })
		if !covered {
			p.domains = append(p.domains, a.name)
		}
	}
	slices.Sort(p.domains)
	p.domains = slices.Compact(p.domains)
	return p, nil
}

// check returns an error that wraps ErrRefused unless the CA may sign for host,
// which is in canonical form. It allocates only for the error.
func (p *permitted) check(host string) error {
	if isDNSName(host) && !isIP(host) {
		for _, pat := range p.patterns {
			if pat.match(host) {
				return nil
			}
		}
	}
	return fmt.Errorf("%.253q: %w", host, ErrRefused)
}

// canonical returns the form of a host in which hosts are compared: lower case,
// without a trailing dot.
func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// isUnder reports whether host is domain or a name below it.
func isUnder(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

// isIP reports whether host is an IP address, or a name that ends in a number,
// which browsers and resolvers may interpret as one.
func isIP(host string) bool {
	if strings.ContainsAny(host, ":[") {
		return true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isDNSName reports whether host is a DNS name in canonical form. Underscores are
// allowed, because some names have them.
func isDNSName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
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
