package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/usererror"
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
		return File{}, usererror.At("--config.file", usererror.Wrap(err, "name a file that this user can read, or none"))
	}
	return parse(name, data)
}

// yamlLine matches the YAML decoder's errors that name a line.
var yamlLine = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)

func parse(name string, data []byte) (File, error) {
	p := parser{name: name, values: map[string][]string{}, lines: map[string]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return File{}, nil // an empty file sets nothing
	case err != nil:
		where, what := name, strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(what); m != nil {
			where, what = name+":"+m[1], m[2]
		}
		return File{}, usererror.At(where, usererror.New(what, "correct the YAML"))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, usererror.At(name, usererror.New("more than one YAML document", "keep the first"))
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

// at returns err with the line of n.
func (p *parser) at(n *yaml.Node, err error) error {
	return usererror.At(fmt.Sprintf("%s:%d", p.name, n.Line), err)
}

// wrong returns an error at the line of n.
func (p *parser) wrong(n *yaml.Node, what, hint string) error {
	return p.at(n, usererror.New(what, hint))
}

// mapping parses a mapping whose keys continue prefix.
func (p *parser) mapping(n *yaml.Node, prefix string) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return p.wrong(n, "not a setting", "write NAME: VALUE, such as proxy.listen-address: "+DefaultProxyListen)
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
	i := find(name)
	if i < 0 {
		if value.Kind == yaml.MappingNode && slices.ContainsFunc(names(), func(s string) bool { return strings.HasPrefix(s, name+".") }) {
			return p.mapping(value, name+".")
		}
		return p.wrong(key, fmt.Sprintf("unknown setting %q", name), didYouMean(name, names()))
	}
	if name == "config.file" {
		return p.wrong(key, "a configuration file cannot name another", "remove config.file")
	}
	if line, twice := p.lines[name]; twice {
		return p.wrong(key, fmt.Sprintf("%s is already set on line %d", name, line), "keep one")
	}
	p.lines[name] = key.Line

	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	v := new(Settings).table()[i].value
	if value.Kind == yaml.SequenceNode && !isCumulative(v) {
		return p.wrong(value, name+" takes one value, not a list", "keep one")
	}
	texts := []string{}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return p.wrong(item, name+" needs a value", "give one, or remove the line")
		}
		if err := v.Set(item.Value); err != nil {
			return p.at(item, usererror.At(name, err))
		}
		texts = append(texts, item.Value)
	}
	p.values[name] = texts
	return nil
}

// didYouMean returns the hint about an unknown name.
func didYouMean(name string, known []string) string {
	if best, ok := usererror.Nearest(name, known); ok {
		return "did you mean " + best + "?"
	}
	return "see ksyun-tap run --help for all of them"
}
