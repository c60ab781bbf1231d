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
	name   string
	values map[string][]string
	lines  map[string]int // of each value
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
	f := File{name, map[string][]string{}, map[string]int{}}
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
	if err := f.mapping(doc.Content[0], ""); err != nil {
		return File{}, err
	}
	return f, nil
}

// place returns FILE:LINE.
func (f *File) place(line int) string { return fmt.Sprintf("%s:%d", f.name, line) }

// at returns err with the line of n.
func (f *File) at(n *yaml.Node, err error) error { return usererror.At(f.place(n.Line), err) }

// wrong returns an error at the line of n.
func (f *File) wrong(n *yaml.Node, what, hint string) error {
	return f.at(n, usererror.New(what, hint))
}

// mapping parses a mapping whose keys continue prefix.
func (f *File) mapping(n *yaml.Node, prefix string) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return f.wrong(n, "not a setting", "write NAME: VALUE, such as proxy.listen-address: "+DefaultProxyListen)
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := f.setting(key, value, prefix+key.Value); err != nil {
			return err
		}
	}
	return nil
}

// setting parses one value, or the mapping below a part of a name.
func (f *File) setting(key, value *yaml.Node, name string) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	i := find(name)
	if i < 0 {
		if value.Kind == yaml.MappingNode && slices.ContainsFunc(names(), func(s string) bool { return strings.HasPrefix(s, name+".") }) {
			return f.mapping(value, name+".")
		}
		return f.wrong(key, fmt.Sprintf("unknown setting %q", name), didYouMean(name, names()))
	}
	if name == "config.file" {
		return f.wrong(key, "a configuration file cannot name another", "remove config.file")
	}
	if line, twice := f.lines[name]; twice {
		return f.wrong(key, fmt.Sprintf("%s is already set on line %d", name, line), "keep one")
	}
	f.lines[name] = key.Line

	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	v := new(Settings).table()[i].value
	if value.Kind == yaml.SequenceNode && !isCumulative(v) {
		return f.wrong(value, name+" takes one value, not a list", "keep one")
	}
	texts := []string{}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return f.wrong(item, name+" needs a value", "give one, or remove the line")
		}
		if err := v.Set(item.Value); err != nil {
			return f.at(item, usererror.At(name, err))
		}
		texts = append(texts, item.Value)
	}
	f.values[name] = texts
	return nil
}

// didYouMean returns the hint about an unknown name.
func didYouMean(name string, known []string) string {
	if best, ok := usererror.Nearest(name, known); ok {
		return "did you mean " + best + "?"
	}
	return "see ksyun-tap run --help for all of them"
}
