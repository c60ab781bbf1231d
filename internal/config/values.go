package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
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

// Parsed returns the value of a flag that is set by a parse function.
func Parsed[T any](target *T, parse func(string) (T, error)) kingpin.Value {
	return scalar[T]{target, parse}
}

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
func address(target *string) kingpin.Value { return Parsed(target, parseAddress) }

// Checked returns a flag value that parse accepts and that is valid. For another text, what
// and hint make the error.
func Checked[T any](target *T, parse func(string) (T, error), valid func(T) bool, what, hint string) kingpin.Value {
	return scalar[T]{target, func(text string) (T, error) {
		v, err := parse(text)
		if err != nil || !valid(v) {
			return *new(T), usererror.New(strconv.Quote(text)+" "+what, hint)
		}
		return v, nil
	}}
}

func always[T any](T) bool { return true }

// OneOf returns a flag value that is one of some words.
func OneOf(target *string, words ...string) kingpin.Value { return Parsed(target, Word(words...)) }

// Word returns a function that parses one of some words, in any case.
func Word[T ~string](words ...T) func(text string) (string, error) {
	var all []string
	for _, w := range words {
		if w != "" {
			all = append(all, string(w))
		}
	}
	return func(text string) (string, error) {
		for _, w := range all {
			if strings.EqualFold(w, text) {
				return w, nil
			}
		}
		hint := "write one of " + strings.Join(all, ", ")
		if nearest, ok := usererror.Nearest(strings.ToLower(text), all); ok {
			hint = "did you mean " + nearest + "?"
		}
		return "", usererror.New(strconv.Quote(text)+" is not a choice", hint)
	}
}

// text returns a flag value for any text.
func text(target *string) kingpin.Value { return Parsed(target, parseText) }

// boolean is a flag value that is true if the flag has no value.
func boolean(target *bool) kingpin.Value {
	return flagless{Checked(target, strconv.ParseBool, always, "is neither true nor false", "write true or false")}
}

// flagless is the value of a flag that needs none.
type flagless struct{ kingpin.Value }

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
	parse := func(text string) (uint32, error) {
		n, err := strconv.ParseUint(text, 0, 32)
		return uint32(n), err
	}
	return Checked(target, parse, always, "is not a mark", "write a 32-bit number, such as 0x6b73")
}

// Positive returns a flag value for a duration of more than 0.
func Positive(target *time.Duration) kingpin.Value {
	return Checked(target, time.ParseDuration, func(d time.Duration) bool { return d > 0 }, "is not a positive duration", "write a number and a unit, such as 10s or 1m30s")
}

// NotNegative returns a flag value for a duration, or 0.
func NotNegative(target *time.Duration) kingpin.Value {
	return Checked(target, time.ParseDuration, func(d time.Duration) bool { return d >= 0 }, "is not a duration", "write a number and a unit, such as 1m, or 0s")
}

// prefixSize returns a flag value for the size of the beginning of a body.
func prefixSize(target *int) kingpin.Value {
	return Checked(target, parseSize[int], func(n int) bool { return 1<<10 <= n && n <= 16<<20 }, "is not a valid size", "write 1KiB to 16MiB, such as 64KiB")
}

// size returns a flag value for a size of at least 1 MiB.
func size(target *int64) kingpin.Value {
	return Checked(target, parseSize[int64], func(n int64) bool { return n >= 1<<20 }, "is not a valid size", "write 1MiB or more, such as 32MiB")
}

// sizeOrNone returns a flag value for a size of at least 1 MiB, or 0.
func sizeOrNone(target *int64) kingpin.Value {
	return Checked(target, parseSize[int64], func(n int64) bool { return n == 0 || n >= 1<<20 }, "is not a valid size", "write 1MiB or more, such as 32MiB, or 0")
}

func parseSize[T int | int64](text string) (T, error) {
	n, err := units.ParseBase2Bytes(strings.TrimSpace(text))
	return T(n), err
}

// maxCount is the largest count.
const maxCount = 1_000_000

// Number returns a flag value for a number within limits.
func Number(target *int, least, most int) kingpin.Value {
	return Checked(target, strconv.Atoi, func(n int) bool { return least <= n && n <= most }, "is not a valid number", fmt.Sprintf("write %d to %d", least, most))
}

func ratio(target *float64) kingpin.Value {
	parse := func(text string) (float64, error) { return strconv.ParseFloat(text, 64) }
	return Checked(target, parse, func(f float64) bool { return 0 <= f && f <= 1 }, "is not a ratio", "write a number from 0 to 1, such as 0.01")
}

// placeholders returns the placeholders of links, for the help.
func placeholders() string { return "{" + strings.Join(web.Placeholders(), "}, {") + "}" }

// parseQuota parses ACTION=N or ACTION/VERSION=N.
func parseQuota(text string) (diagnosis.QuotaLimit, error) {
	name, number, _ := strings.Cut(text, "=")
	action, version, _ := strings.Cut(name, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > maxCount || !isAliasName(action) || version != "" && !isAliasName(version) {
		return diagnosis.QuotaLimit{}, usererror.New(strconv.Quote(text)+" is not a limit", fmt.Sprintf("write ACTION=N or ACTION/VERSION=N with N from 0 to %d, such as GetMetricStatistics=1200", maxCount))
	}
	return diagnosis.QuotaLimit{Action: action, Version: version, PerMinute: n}, nil
}
