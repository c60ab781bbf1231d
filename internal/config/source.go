package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
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

// inUse yields the rows of the table, each with the settings that have its value in use:
// those of the running tap if a change of the row needs a restart, or else s.
func (s *Settings) inUse() iter.Seq2[setting, *Settings] {
	return func(yield func(setting, *Settings) bool) {
		was := cmp.Or(s.running, s).table()
		for i, row := range s.table() {
			use := s
			if row.needsRestart(was[i]) {
				use = s.running
			}
			if !yield(row, use) {
				return
			}
		}
	}
}

// Print writes the settings in use as a configuration file, with the source of each in
// a comment. Changed values that need a restart are comments.
func (s *Settings) Print(out io.Writer) error {
	var b bytes.Buffer
	for row, use := range s.inUse() {
		line := use.line(row)
		switch _, set := use.texts[row.name]; {
		case !set:
			line = fmt.Sprintf("# %s is not set", row.name)
		case row.name == "config.file": // a file cannot name another
			line = "# " + line
		}
		fmt.Fprintln(&b, line)
		if use != s {
			fmt.Fprintf(&b, "# changed, needs a restart: %s\n", s.line(row))
		}
	}
	_, err := out.Write(b.Bytes())
	return err
}

// line returns a setting as a line of a configuration file, with its source.
func (s *Settings) line(row setting) string {
	var texts []string
	for _, t := range s.texts[row.name] {
		texts = append(texts, spell(t))
	}
	value := strings.Join(texts, ", ")
	if isCumulative(row.value) {
		value = "[" + value + "]"
	}
	return fmt.Sprintf("%s: %s  # %s", row.name, value, s.source(row.name))
}

// Sourced is the value of a setting that is in use and where it comes from: a verb, a
// flag, a variable, a place in the file, or "default". Several values are separated by
// commas.
type Sourced struct {
	Name, Value, Source string
	// Pending is the value that was read since and needs a restart, or nil.
	Pending *Pending
}

// Pending is a value that a restart applies, and where it comes from.
type Pending struct{ Value, Source string }

// Sourced returns all settings of the tap in the order of the reference.
func (s *Settings) Sourced() []Sourced {
	var all []Sourced
	for row, use := range s.inUse() {
		if row.lookup {
			continue
		}
		x := Sourced{Name: row.name, Value: strings.Join(use.texts[row.name], ","), Source: use.source(row.name)}
		if use != s {
			x.Pending = &Pending{strings.Join(s.texts[row.name], ","), s.source(row.name)}
		}
		all = append(all, x)
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
			unknown = append(unknown, &usererror.Error{Where: name, What: "unknown setting", Hint: didYouMean(name, known)})
		}
	}
	return unknown
}
