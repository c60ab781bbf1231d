package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Fix sets a setting to what a verb needs. The verb is then the source of the value. The
// setting has one value, or none yet: it was skipped by Register. Fix panics if a value is
// not valid.
func (s *Settings) Fix(verb, name string, values ...string) {
	v := s.table()[find(name)].value
	for _, text := range values {
		if err := v.Set(text); err != nil {
			panic(fmt.Sprintf("%s sets %s: %v", verb, name, err))
		}
	}
	s.texts[name], s.fixed[name] = values, verb
}

// source returns where the value of a setting comes from: a verb, a flag, a variable, a
// line of the file, or "default".
func (s *Settings) source(name string) string {
	switch given := s.given[name]; {
	case s.fixed[name] != "":
		return s.fixed[name]
	case given != nil && *given:
		return "--" + name
	case os.Getenv(envName(name)) != "":
		return envName(name)
	case s.file.places[name] != "":
		return s.file.places[name]
	}
	return "default"
}

// sourced is the value of a setting. Its errors name the source of the text, and
// it keeps the text for Print.
type sourced struct {
	kingpin.Value
	name   string
	s      *Settings
	redact bool // the text may be a URL with a password
}

// Set parses text.
func (v *sourced) Set(text string) error {
	if err := v.Value.Set(text); err != nil {
		return usererror.At(v.s.source(v.name), err)
	}
	if v.redact {
		text = lookup.Redacted(text)
	}
	if v.IsCumulative() {
		v.s.texts[v.name] = append(v.s.texts[v.name], text)
	} else {
		v.s.texts[v.name] = []string{text}
	}
	return nil
}

// IsCumulative reports to kingpin whether the flag may be repeated.
func (v *sourced) IsCumulative() bool { return isCumulative(v.Value) }

func isCumulative(v kingpin.Value) bool {
	c, ok := v.(interface{ IsCumulative() bool })
	return ok && c.IsCumulative()
}

// IsBoolFlag reports to kingpin whether the flag needs no value.
func (v *sourced) IsBoolFlag() bool {
	b, ok := v.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Print writes the settings as a configuration file, with the source of each in a
// comment.
func (s *Settings) Print(out io.Writer) error {
	var b bytes.Buffer
	for _, row := range new(Settings).table() {
		texts, set := s.texts[row.name]
		switch {
		case row.name == "config.file": // a file cannot name another
			if set {
				fmt.Fprintf(&b, "# %s: %s  # %s\n", row.name, spell(texts[0]), s.source(row.name))
			}
		case !set:
			fmt.Fprintf(&b, "# %s is not set\n", row.name)
		case isCumulative(row.value):
			for i, t := range texts {
				texts[i] = spell(t)
			}
			fmt.Fprintf(&b, "%s: [%s]  # %s\n", row.name, strings.Join(texts, ", "), s.source(row.name))
		default:
			fmt.Fprintf(&b, "%s: %s  # %s\n", row.name, spell(texts[0]), s.source(row.name))
		}
	}
	_, err := out.Write(b.Bytes())
	return err
}

// Texts returns the values of all settings of the tap by name, as on the command line. Several
// values are separated by commas.
func (s *Settings) Texts() map[string]string {
	all := map[string]string{}
	for _, one := range s.Sourced() {
		all[one.Name] = one.Value
	}
	return all
}

// Sourced is the value of a setting and where it comes from: a verb, a flag, a
// variable, a place in the file, or "default".
type Sourced struct{ Name, Value, Source string }

// Sourced returns all settings of the tap in the order of the reference. Several values are
// separated by commas.
func (s *Settings) Sourced() []Sourced {
	var all []Sourced
	for _, row := range new(Settings).table() {
		if !row.lookup {
			all = append(all, Sourced{row.name, strings.Join(s.texts[row.name], ","), s.source(row.name)})
		}
	}
	return all
}

var plain = regexp.MustCompile(`^([0-9][0-9a-zA-Z.]*|true|false)$`)

// spell returns text as a YAML scalar on one line.
func spell(text string) string {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case strings.ContainsAny(text, "[]{},\n#"):
		node.Style = yaml.DoubleQuotedStyle
	case plain.MatchString(text): // numbers and booleans need no quotes
		return text
	}
	out, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Sprintf("%q", text)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Patterns of the variables that Kubernetes sets for each Service in the
// namespace, such as KSYUN_TAP_SERVICE_HOST for a Service named ksyun-tap.
var (
	serviceVariable = regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))$`)
	serviceLink     = regexp.MustCompile(`^[A-Z0-9_]+_PORT(_[0-9]+_(TCP|UDP|SCTP))?$`)
	serviceAddress  = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// UnknownVariables returns an error for each of the variables in environ that has
// EnvPrefix but is not a setting. Those that Kubernetes sets for a Service are left
// out.
func UnknownVariables(environ []string) (unknown []*usererror.Error) {
	var known []string
	for _, n := range names() {
		known = append(known, envName(n))
	}
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case !strings.HasPrefix(name, EnvPrefix):
		case slices.Contains(known, name):
		case serviceVariable.MatchString(name), serviceLink.MatchString(name) && serviceAddress.MatchString(value):
		default:
			unknown = append(unknown, &usererror.Error{Where: name, What: "is not a setting", Hint: didYouMean(name, known)})
		}
	}
	return unknown
}
