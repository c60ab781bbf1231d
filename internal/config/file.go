package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/nearest"
)

// File holds the settings of a configuration file.
type File struct {
	values map[string][]string
	places map[string]string // FILE:LINE of each
}

// Load reads a configuration file. Its errors name the file and the line, and say
// what to write instead.
func Load(name string) (File, error) {
	data, err := ReadFile(name)
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w: name an existing file with --config.file, or none", err)
	}
	return parse(name, data)
}

// yamlPlace matches the beginning of the YAML decoder's errors.
var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+):)?`)

func parse(name string, data []byte) (File, error) {
	p := parser{name: name, values: map[string][]string{}, lines: map[string]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return File{}, nil // an empty file sets nothing
	case err != nil:
		return File{}, fmt.Errorf("%s:%s: correct the YAML", name, yamlPlace.ReplaceAllString(err.Error(), "$1:"))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, fmt.Errorf("%s: contains more than one YAML document: keep the first", name)
	}
	if err := p.mapping(doc.Content[0], ""); err != nil {
		return File{}, err
	}
	f := File{values: p.values, places: make(map[string]string, len(p.lines))}
	for setting, line := range p.lines {
		f.places[setting] = fmt.Sprintf("%s:%d", name, line)
	}
	return f, nil
}

// parser collects the values of a file, by setting.
type parser struct {
	name   string
	values map[string][]string
	lines  map[string]int
}

func (p *parser) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", p.name, n.Line, fmt.Errorf(format, args...))
}

// mapping parses a mapping whose keys continue prefix.
func (p *parser) mapping(n *yaml.Node, prefix string) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return p.errorf(n, "not a setting: write NAME: VALUE, such as proxy.listen-address: %s", DefaultProxyListen)
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := p.setting(key, value, prefix+key.Value); err != nil {
			return err
		}
	}
	return nil
}

// setting parses one value, or the mapping below a part of a name.
func (p *parser) setting(key, value *yaml.Node, name string) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	i := slices.IndexFunc(table, func(row setting) bool { return row.name == name })
	if i < 0 {
		if value.Kind == yaml.MappingNode && slices.ContainsFunc(table, func(row setting) bool { return strings.HasPrefix(row.name, name+".") }) {
			return p.mapping(value, name+".")
		}
		return p.errorf(key, "unknown setting %q%s", name, suggestion(name))
	}
	if name == "config.file" {
		return p.errorf(key, "a configuration file cannot name another: remove config.file")
	}
	if line, twice := p.lines[name]; twice {
		return p.errorf(key, "%s is already set on line %d: keep one", name, line)
	}
	p.lines[name] = key.Line

	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	var scratch Settings
	f := kingpin.New("", "").Flag(name, "")
	table[i].bind(&scratch, f)
	v := f.Model().Value
	if c, ok := v.(interface{ IsCumulative() bool }); value.Kind == yaml.SequenceNode && (!ok || !c.IsCumulative()) {
		return p.errorf(value, "%s takes one value, not a list", name)
	}
	texts := []string{}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return p.errorf(item, "%s needs a value: give one, or remove the line", name)
		}
		if err := v.Set(item.Value); err != nil {
			return p.errorf(item, "%s: %w", name, err)
		}
		texts = append(texts, item.Value)
	}
	p.values[name] = texts
	return nil
}

// suggestion suggests the setting that was probably meant.
func suggestion(name string) string {
	names := make([]string, len(table))
	for i, row := range table {
		names[i] = row.name
	}
	return didYouMean(name, names)
}

// didYouMean returns the end of an error about an unknown name.
func didYouMean(name string, known []string) string {
	if best, ok := nearest.Of(name, known); ok {
		return fmt.Sprintf(": did you mean %s?", best)
	}
	return ": see ksyun-tap run --help for all of them"
}
