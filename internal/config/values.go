package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/alecthomas/units"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// scalar is a flag value that is set by a parse function.
type scalar[T any] struct {
	target *T
	parse  func(string) (T, error)
}

// Set parses text.
func (v scalar[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err != nil {
		return err
	}
	*v.target = parsed
	return nil
}

func (v scalar[T]) String() string { return fmt.Sprint(*v.target) }

// multi is the value that List returns.
type multi[T any] struct {
	target *[]T
	parse  func(string) (T, error)
}

// List returns the value of a flag that may be given several times.
func List[T any](target *[]T, parse func(string) (T, error)) kingpin.Value {
	return &multi[T]{target, parse}
}

// Set parses text and appends the value.
func (v *multi[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err != nil {
		return err
	}
	*v.target = append(*v.target, parsed)
	return nil
}

func (v *multi[T]) String() string { return fmt.Sprint(*v.target) }

// IsCumulative reports to kingpin that the flag may be repeated.
func (v *multi[T]) IsCumulative() bool { return true }

// HostPatterns returns a flag value for host patterns.
func HostPatterns(target *hostname.Patterns) kingpin.Value {
	return List((*[]hostname.Pattern)(target), hostname.ParsePattern)
}

// addresses returns a flag value for listen addresses.
func addresses(target *[]string) kingpin.Value { return List(target, parseAddress) }

// address returns a flag value for one listen address.
func address(target *string) kingpin.Value { return scalar[string]{target, parseAddress} }

// oneOf returns a flag value that is one of some words.
func oneOf(target *string, words ...string) kingpin.Value {
	return scalar[string]{target, func(text string) (string, error) {
		if !slices.Contains(words, text) {
			return "", usererror.New(strconv.Quote(text)+" is not a choice", "write one of "+strings.Join(words, ", "))
		}
		return text, nil
	}}
}

// text returns a flag value for any text.
func text(target *string) kingpin.Value { return scalar[string]{target, parseText} }

// boolean is a flag value that is true if the flag has no value.
func boolean(target *bool) kingpin.Value {
	return flagless{scalar[bool]{target, func(text string) (bool, error) {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return false, usererror.New(strconv.Quote(text)+" is neither true nor false", "write true or false")
		}
		return b, nil
	}}}
}

// flagless is the value of a flag that needs none.
type flagless struct{ scalar[bool] }

// IsBoolFlag reports to kingpin that the flag needs no value.
func (flagless) IsBoolFlag() bool { return true }

func parseText(text string) (string, error) { return text, nil }

func parseAddress(text string) (string, error) {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", usererror.New(strconv.Quote(text)+" is not a listen address", "write HOST:PORT, such as 127.0.0.1:18181")
	}
	return text, nil
}

// parseOrigin parses a URL of a scheme, a host and an optional port.
func parseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usererror.New(strconv.Quote(text)+" is not an origin", "write https://HOST or https://HOST:PORT")
	}
	// A trailing dot is only for resolvers: certificates and signatures omit it.
	host := hostname.Name(strings.TrimSuffix(u.Hostname(), ".")).InURL()
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	return &url.URL{Scheme: u.Scheme, Host: host}, nil
}

// ParsePrefix parses a network, or a single address.
func ParsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, usererror.New(strconv.Quote(text)+" is not a network", "write one such as 10.1.0.0/16 or 192.0.2.7")
	}
	return p, nil
}

// Mark returns a flag value for a socket mark.
func Mark(target *uint32) kingpin.Value {
	return scalar[uint32]{target, func(text string) (uint32, error) {
		n, err := strconv.ParseUint(text, 0, 32)
		if err != nil {
			return 0, usererror.New(strconv.Quote(text)+" is not a mark", "write a 32-bit number, such as 0x6b73")
		}
		return uint32(n), nil
	}}
}

// positive returns a flag value for a duration of more than 0.
func positive(target *time.Duration) kingpin.Value {
	return duration(target, 1, "is not a positive duration", "write a number and a unit, such as 10s or 1m30s")
}

// notNegative returns a flag value for a duration, or 0.
func notNegative(target *time.Duration) kingpin.Value {
	return duration(target, 0, "is not a duration", "write a number and a unit, such as 1m, or 0s")
}

func duration(target *time.Duration, least time.Duration, what, hint string) kingpin.Value {
	return scalar[time.Duration]{target, func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < least {
			return 0, usererror.New(strconv.Quote(text)+" "+what, hint)
		}
		return d, nil
	}}
}

func size(target *int) kingpin.Value {
	const least, most = 1 << 10, 16 << 20
	return scalar[int]{target, func(text string) (int, error) {
		n, err := units.ParseBase2Bytes(strings.TrimSpace(text))
		if err != nil || n < least || n > most {
			return 0, usererror.New(strconv.Quote(text)+" is not a valid size", "write 1KiB to 16MiB, such as 64KiB")
		}
		return int(n), nil
	}}
}

// memory returns a flag value for a size of at least 1 MiB.
func memory(target *int64) kingpin.Value {
	return scalar[int64]{target, func(text string) (int64, error) { return parseMemory(text, "") }}
}

// sizeOrNone returns a flag value for a size of at least 1 MiB, or 0.
func sizeOrNone(target *int64) kingpin.Value {
	return scalar[int64]{target, func(text string) (int64, error) {
		if text == "0" {
			return 0, nil
		}
		return parseMemory(text, ", or 0")
	}}
}

// parseMemory parses a size of at least 1 MiB. or names what else may be written.
func parseMemory(text, or string) (int64, error) {
	const least = 1 << 20
	n, err := units.ParseBase2Bytes(strings.TrimSpace(text))
	if err != nil || n < least {
		return 0, usererror.New(strconv.Quote(text)+" is not a valid size", "write 1MiB or more, such as 32MiB"+or)
	}
	return int64(n), nil
}

// countOrNone returns a flag value for a count, or 0.
func countOrNone(target *int) kingpin.Value {
	return scalar[int]{target, func(text string) (n int, err error) {
		if text == "0" {
			return 0, nil
		}
		err = count(&n).Set(text)
		return n, err
	}}
}

func ratio(target *float64) kingpin.Value {
	return scalar[float64]{target, func(text string) (float64, error) {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return 0, usererror.New(strconv.Quote(text)+" is not a ratio", "write a number from 0 to 1, such as 0.01")
		}
		return f, nil
	}}
}

func count(target *int) kingpin.Value {
	const most = 1_000_000
	return scalar[int]{target, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		switch {
		case errors.Is(err, strconv.ErrRange), err == nil && (n < 1 || n > most):
			return 0, usererror.New(text+" is out of range", fmt.Sprintf("write 1 to %d", most))
		case err != nil:
			return 0, usererror.New(strconv.Quote(text)+" is not a number", fmt.Sprintf("write 1 to %d", most))
		}
		return n, nil
	}}
}

// placeholders returns the placeholders of links, for the help.
func placeholders() string { return "{" + strings.Join(web.Placeholders(), "}, {") + "}" }

// parseQuota parses ACTION=N or ACTION/VERSION=N.
func parseQuota(text string) (diagnosis.QuotaLimit, error) {
	const most = 1_000_000
	name, number, _ := strings.Cut(text, "=")
	action, version, _ := strings.Cut(name, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > most || !isAliasName(action) || version != "" && !isAliasName(version) {
		return diagnosis.QuotaLimit{}, fmt.Errorf("%q is not a limit: write ACTION=N or ACTION/VERSION=N with N from 0 to %d, such as GetMetricStatistics=1200", text, most)
	}
	return diagnosis.QuotaLimit{Action: action, Version: version, PerMinute: n}, nil
}
