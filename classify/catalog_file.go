package classify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// The limits of a catalogue file, so that a file that is not a catalogue is
// refused early.
const (
	maxCatalogBytes   = 1 << 20
	maxCatalogText    = 512
	maxCatalogCode    = 64
	maxCatalogEntries = 4096
	maxTableRow       = 20
)

// parseCatalog parses a catalogue file. known is the catalogue that the
// file extends, nil for the first. Errors are of type *usererror.Error, at name:line.
func parseCatalog(name string, data []byte, known *Catalog) ([]*Entry, error) {
	p := &catalogParser{name: name, known: known, seen: make(map[string]int)}
	if len(data) > maxCatalogBytes {
		return nil, p.wrong(1, "the file is larger than 1 MiB", "check that it is a catalogue, or split it")
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		return nil, p.wrong(1, "the file is empty", `give it a list of entries under "entries:"`)
	case err != nil:
		return nil, p.notYAML(err)
	}
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, p.notYAML(err)
	default:
		return nil, p.wrong(more.Line, "a second document begins", "keep all entries in one document")
	}
	return p.file(doc.Content[0])
}

// notYAML returns the error for a file that is not valid YAML.
func (p *catalogParser) notYAML(err error) error {
	line, what := yamlError(err)
	return p.wrong(line, what, "fix the YAML")
}

// yamlError returns the line and the text of an error of the YAML library, which
// gives the line only in the text.
func yamlError(err error) (line int, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		if n, text, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(n); err == nil {
				return max(line, 1), text
			}
		}
	}
	return 1, strings.ReplaceAll(what, "\n", " ")
}

// catalogParser parses one catalogue file.
type catalogParser struct {
	name    string
	known   *Catalog
	seen    map[string]int // folded codes and aliases of this file, by line
	entries []*Entry
}

// wrong returns an error in the form used for all errors.
func (p *catalogParser) wrong(line int, what, hint string) error {
	return &usererror.Error{Where: p.name + ":" + strconv.Itoa(line), What: what, Hint: hint}
}

// file parses the document.
func (p *catalogParser) file(n *yaml.Node) ([]*Entry, error) {
	var list *yaml.Node
	err := p.fields(n, "the file", []string{"entries"}, func(_ string, v *yaml.Node) error {
		list = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		line := n.Line
		if list != nil {
			line = list.Line
		}
		return nil, p.wrong(line, "entries is not a list", `write "- code: ..." for each entry below it`)
	}
	if len(list.Content) > maxCatalogEntries {
		return nil, p.wrong(list.Line, fmt.Sprintf("more than %d entries", maxCatalogEntries), "leave out what never occurs")
	}
	for _, item := range list.Content {
		r := &entryParser{catalogParser: p, line: item.Line}
		e, err := r.parse(item)
		if err != nil {
			return nil, err
		}
		p.entries = append(p.entries, e)
	}
	return p.entries, nil
}

// fields calls a function for each key of a mapping. Unknown and repeated keys are errors.
func (p *catalogParser) fields(n *yaml.Node, what string, keys []string, set func(key string, v *yaml.Node) error) error {
	if n.Kind == yaml.AliasNode {
		return p.wrong(n.Line, "an alias (*"+n.Value+") stands for "+what, "write it out")
	}
	if n.Kind != yaml.MappingNode {
		return p.wrong(n.Line, what+" is not a mapping", `write it as "key: value" lines`)
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if !slices.Contains(keys, key.Value) {
			return p.wrong(key.Line, fmt.Sprintf("unknown key %q", key.Value), "use one of "+strings.Join(keys, ", "))
		}
		if seen[key.Value] {
			return p.wrong(key.Line, fmt.Sprintf("key %q is there twice", key.Value), "keep one")
		}
		seen[key.Value] = true
		if v.Kind == yaml.AliasNode {
			return p.wrong(v.Line, "an alias (*"+v.Value+") stands for "+key.Value, "write it out")
		}
		if err := set(key.Value, v); err != nil {
			return err
		}
	}
	return nil
}
