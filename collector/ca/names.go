package ca

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// ErrRefused is the error for a host that is not among the permitted names, or
// is not a DNS name.
var ErrRefused = errors.New("the CA is not permitted to sign for this host")

// parsePattern parses "host.example" or "*.example.com".
func parsePattern(s string) (hostname.Pattern, error) {
	name, wild := hostname.CutStar(s)
	switch {
	case name.LooksLikeIP():
		return hostname.Pattern{}, usererror.New(fmt.Sprintf("permitted name %q: an IP address cannot be intercepted", s), "name a host or *.DOMAIN")
	case !name.IsDNS():
		return hostname.Pattern{}, usererror.New(fmt.Sprintf("permitted name %q is not valid", s), "write a host name or *.DOMAIN")
	case !strings.Contains(string(name), "."):
		return hostname.Pattern{}, usererror.New(fmt.Sprintf("permitted name %q is too wide", s), "write at least two labels")
	case wild:
		return hostname.Below(name), nil
	}
	return hostname.Exactly(name), nil
}

// permitted holds the names that a CA may sign for.
type permitted struct {
	patterns hostname.Patterns
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
		covered := slices.ContainsFunc(p.patterns, func(b hostname.Pattern) bool { return a.Name() != b.Name() && a.Name().IsUnder(b.Name()) })
		if !covered {
			p.domains = append(p.domains, string(a.Name()))
		}
	}
	slices.Sort(p.domains)
	p.domains = slices.Compact(p.domains)
	return p, nil
}

// check returns an error that wraps ErrRefused unless the CA may sign for host. It
// allocates only for the error.
func (p *permitted) check(host hostname.Name) error {
	if host.IsDNS() && p.patterns.Match(host) {
		return nil
	}
	return fmt.Errorf("%.253q: %w", host, ErrRefused)
}
