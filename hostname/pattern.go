package hostname

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Pattern matches one host, or all names below a domain.
type Pattern struct {
	name Name
	wild bool
}

// ParsePattern parses "host.example", an IP address, or "*.example.com", where the
// star stands for one or more labels.
func ParsePattern(s string) (Pattern, error) {
	name, wild := CutStar(s)
	if ip := Canonical(strings.Trim(string(name), "[]")); ip.IP().IsValid() && !wild {
		return Exactly(ip), nil
	}
	switch {
	case !name.isLabels():
		return Pattern{}, usererror.New(strconv.Quote(s)+" is not a host pattern", "write a host name, *.DOMAIN or an IP address, without port")
	case wild && !strings.Contains(string(name), "."):
		return Pattern{}, usererror.New("the host pattern "+strconv.Quote(s)+" is too wide", "write at least two labels after the star")
	}
	return Pattern{name: name, wild: wild}, nil
}

// CutStar cuts "*." off the beginning of a pattern and reports whether it was
// there.
func CutStar(s string) (name Name, wild bool) {
	s, wild = strings.CutPrefix(s, "*.")
	return Canonical(s), wild
}

// Exactly returns the pattern of one host.
func Exactly(host Name) Pattern { return Pattern{name: host} }

// Below returns the pattern of all names below a domain.
func Below(domain Name) Pattern { return Pattern{name: domain, wild: true} }

// String returns the pattern in the syntax of ParsePattern.
func (p Pattern) String() string {
	if p.wild {
		return "*." + string(p.name)
	}
	return string(p.name)
}

// Name returns the host that p matches, or the domain below which it does.
func (p Pattern) Name() Name { return p.name }

// Match reports whether p matches host.
func (p Pattern) Match(host Name) bool {
	if !p.wild {
		return host == p.name
	}
	return len(host) > len(p.name)+1 && host.IsUnder(p.name)
}

// Patterns match what any of them matches.
type Patterns []Pattern

// Match reports whether one of the patterns matches host.
func (ps Patterns) Match(host Name) bool {
	return slices.ContainsFunc(ps, func(p Pattern) bool { return p.Match(host) })
}
