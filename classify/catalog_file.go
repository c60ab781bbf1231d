package classify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
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
		return nil, p.wrong(1, "the file is empty", `give it a list of rows under "entries:"`)
	case err != nil:
		return nil, p.notYAML(err)
	}
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, p.notYAML(err)
	default:
		return nil, p.wrong(more.Line, "a second document begins", "keep all rows in one document")
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
	name  string
	known *Catalog
	seen  map[string]int // folded codes and aliases of this file, by line
	rows  []*Entry
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
		return nil, p.wrong(line, "entries is not a list of rows", `write "- code: ..." for each row below it`)
	}
	if len(list.Content) > maxCatalogEntries {
		return nil, p.wrong(list.Line, fmt.Sprintf("more than %d rows", maxCatalogEntries), "leave out what never occurs")
	}
	for _, row := range list.Content {
		r := &rowParser{catalogParser: p, line: row.Line}
		e, err := r.row(row)
		if err != nil {
			return nil, err
		}
		p.rows = append(p.rows, e)
	}
	return p.rows, nil
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

// The keys by which a row is named.
const (
	keyCode    = "code"
	keyRefines = "refines"
	keyFault   = "fault"
)

// rowKeys are the keys of a row.
var rowKeys = []string{
	keyCode, keyRefines, keyFault, "aliases", "grade", "row", "statuses", "messages", "example",
	"type", "category", "blame", "retryable", "dry_run", "meaning", "advice", "source",
}

// rowParser parses one row.
type rowParser struct {
	*catalogParser
	line  int
	entry Entry
	given map[string]int // line of each key
}

// codeForm is the syntax of a code, which is used as a label value.
var codeForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._:/-]*$`)

// row parses one row and checks it as a whole.
func (r *rowParser) row(n *yaml.Node) (*Entry, error) {
	r.given = make(map[string]int)
	if err := r.fields(n, "a row", rowKeys, r.set); err != nil {
		return nil, err
	}
	for _, step := range []func() error{r.name, r.inherit, r.check} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	e := r.entry
	return &e, nil
}

// set sets the value of one key.
func (r *rowParser) set(key string, v *yaml.Node) (err error) {
	r.given[key] = v.Line
	e := &r.entry
	switch key {
	case keyCode, keyRefines, keyFault:
		e.Code, err = r.code(key, v)
	case "aliases":
		e.Aliases, err = each(r, key, v, r.code)
	case "grade":
		e.Grade, err = oneOf(r, key, v, GradeDocumented, GradeInferred, GradePlaceholder)
	case "row":
		e.Row, err = r.tableRow(v)
	case "statuses":
		e.Statuses, err = each(r, key, v, r.status)
	case "messages":
		e.Messages, err = each(r, key, v, r.message)
	case "example":
		e.Example, err = r.text(key, v)
	case "type":
		e.Type, err = oneOf(r, key, v, TypeSender, TypeReceiver, TypeUnknown)
	case "category":
		e.Category, err = oneOf(r, key, v, Categories()...)
	case "blame":
		e.Blame, err = oneOf(r, key, v, BlameClient, BlameCredential, BlameQuota, BlameProvider, BlameNetwork, BlameTap)
	case "retryable":
		e.Retryable, err = r.flag(key, v)
	case "dry_run":
		e.DryRun, err = r.flag(key, v)
	case "meaning":
		e.Meaning, err = r.texts(key, v)
	case "advice":
		e.Advice, err = r.texts(key, v)
	case "source":
		e.Source, err = r.text(key, v)
	}
	return err
}

// has reports whether the row contains key.
func (r *rowParser) has(key string) bool { return r.given[key] > 0 }

// name checks that the row has exactly one name, and that the name is free.
func (r *rowParser) name() error {
	var kinds []string
	for _, k := range []string{keyCode, keyRefines, keyFault} {
		if r.has(k) {
			kinds = append(kinds, k)
		}
	}
	switch len(kinds) {
	case 0:
		return r.wrong(r.line, "the row has no code", `add "code: ..." (or refines, or fault)`)
	case 1:
	default:
		return r.wrong(r.given[kinds[1]], "the row has both "+kinds[0]+" and "+kinds[1], "keep one")
	}
	e := &r.entry
	switch kinds[0] {
	case keyRefines:
		e.Refines = true
		if r.has("aliases") {
			return r.wrong(r.given["aliases"], "a row that refines has aliases", "give them to the row of "+e.Code)
		}
		return nil
	case keyFault:
		e.Fault = Fault(e.Code)
		if !slices.Contains(faults, e.Fault) {
			return r.wrong(r.given[keyFault], fmt.Sprintf("unknown fault %q", e.Code), "use one of "+join(faults))
		}
	}
	for i, code := range append([]string{e.Code}, e.Aliases...) {
		line := r.line
		if i > 0 {
			line = r.given["aliases"]
		}
		if at, taken := r.seen[fold(code)]; taken {
			return r.wrong(line, fmt.Sprintf("%q is already a name of the row at line %d", code, at), "merge the two rows")
		}
		if i > 0 && r.knowsCode(code) {
			return r.wrong(line, fmt.Sprintf("the alias %q is the code of a row of the catalogue", code), "replace that row by its code, or refine it")
		}
		r.seen[fold(code)] = r.line
	}
	return nil
}

// knowsCode reports whether an entry of the extended catalogue has the code, not
// only as an alias.
func (p *catalogParser) knowsCode(code string) bool {
	if p.known == nil {
		return false
	}
	e, ok := p.known.Lookup(code)
	return ok && fold(e.Code) == fold(code)
}

// inherit copies the keys that a refining row omits from the row that it refines.
func (r *rowParser) inherit() error {
	e := &r.entry
	if !e.Refines {
		if e.Grade == "" {
			e.Grade = GradeDocumented
		}
		if e.Fault != FaultNone {
			e.Grade = GradePlaceholder
			inheritText(&e.Source, "ksyun-tap") // which saw it itself
		}
		if e.Type == "" {
			e.Type = TypeUnknown
		}
		return nil
	}
	base := r.base(e.Code)
	if base == nil {
		return r.wrong(r.given[keyRefines], fmt.Sprintf("no row has the code %q", e.Code), "put the row it refines before it")
	}
	e.Code = base.Code
	if !r.has("grade") {
		e.Grade = base.Grade
	}
	if !r.has("statuses") {
		e.Statuses = base.Statuses
	}
	if !r.has("type") {
		e.Type = base.Type
	}
	if !r.has("category") && !r.has("dry_run") {
		e.Category, e.DryRun = base.Category, base.DryRun
	}
	if !r.has("retryable") {
		e.Retryable = base.Retryable
	}
	if !r.has("row") {
		e.Row = base.Row
	}
	inheritText(&e.Meaning.English, base.Meaning.English)
	inheritText(&e.Meaning.Chinese, base.Meaning.Chinese)
	inheritText(&e.Advice.English, base.Advice.English)
	inheritText(&e.Advice.Chinese, base.Advice.Chinese)
	inheritText(&e.Source, base.Source)
	return nil
}

// inheritText sets text to base if it is empty.
func inheritText(text *string, base string) {
	if *text == "" {
		*text = base
	}
}

// base returns the row that has code, in this file or else in the catalogue that
// it extends.
func (r *rowParser) base(code string) *Entry {
	for _, e := range r.rows {
		if !e.Refines && e.onWire() && fold(e.Code) == fold(code) {
			return e
		}
	}
	if !r.knowsCode(code) {
		return nil
	}
	if e, _ := r.known.Lookup(code); e.onWire() {
		return e
	}
	return nil
}

// check checks the rules that involve several keys.
func (r *rowParser) check() error {
	e := &r.entry
	switch {
	case e.DryRun && r.has("category"):
		return r.wrong(r.given["category"], "a dry run has a category", "leave it out: it is no failure")
	case !e.DryRun && e.Category == "":
		return r.wrong(r.line, "the row has no category", "add one of "+join(Categories()))
	case e.Refines && len(e.Messages) == 0:
		return r.wrong(r.line, "a row that refines has no messages", "add the patterns it is for")
	case e.Fault != FaultNone && (r.has("statuses") || r.has("messages") || r.has("aliases") || r.has("grade")):
		return r.wrong(r.line, "the row of a fault has statuses, messages, aliases or a grade", "leave them out: there was no response")
	case e.Fault != FaultNone && e.Blame == "":
		return r.wrong(r.line, "the row of a fault has no blame", "add one of client, credential, quota, provider, network, tap")
	case e.Refines && e.Grade == GradePlaceholder:
		return r.wrong(r.line, "a row that refines is a placeholder", "use documented or inferred")
	case e.Grade == GradePlaceholder && e.Fault == FaultNone && len(e.Statuses) == 0:
		return r.wrong(r.line, "a placeholder has no statuses", "add them: its code is never compared")
	case e.Grade == GradeInferred && len(e.Statuses) == 0 && len(e.Messages) == 0:
		return r.wrong(r.line, "an inferred row has neither statuses nor messages", "add some: its code never decides alone")
	}
	if e.Fault != FaultNone || e.DryRun {
		return nil
	}
	blame := blameOf(e.Category, e.Type)
	if r.has("blame") && e.Blame != blame {
		return r.wrong(r.given["blame"], fmt.Sprintf("blame %s does not go with category %s", e.Blame, e.Category), "leave blame out or write "+string(blame))
	}
	e.Blame = blame
	return nil
}

// faults are the faults that a row may describe. FaultCanceled is not a failure
// and needs no advice.
var faults = []Fault{
	FaultBadRequest, FaultNoRoute, FaultHostRefused, FaultLoop, FaultUnsupported, FaultSignature,
	FaultDNS, FaultConnRefused, FaultUnreachable, FaultDialTimeout, FaultTLS,
	FaultTimeout, FaultReset, FaultClosed, FaultBadResponse, FaultShutdown,
}

// join joins words with commas, for errors.
func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ", ")
}

// scalar returns the text of a scalar, or "" for any other node.
func scalar(v *yaml.Node) string {
	if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
		return ""
	}
	return strings.TrimSpace(v.Value)
}

// text parses a text for users.
func (r *rowParser) text(key string, v *yaml.Node) (string, error) {
	s := scalar(v)
	switch {
	case s == "":
		return "", r.wrong(v.Line, key+" is empty or not text", "write a sentence, or leave "+key+" out")
	case len(s) > maxCatalogText:
		return "", r.wrong(v.Line, fmt.Sprintf("%s is longer than %d bytes", key, maxCatalogText), "shorten it")
	case strings.ContainsFunc(s, IsControl):
		return "", r.wrong(v.Line, key+" contains a control character", "write it in one line of plain text")
	}
	return s, nil
}

// texts parses a text for users in two languages, or one text for both.
func (r *rowParser) texts(key string, v *yaml.Node) (t Text, err error) {
	if v.Kind != yaml.MappingNode {
		t.English, err = r.text(key, v)
		return Text{t.English, t.English}, err
	}
	err = r.fields(v, key, []string{string(English), string(Chinese)}, func(language string, v *yaml.Node) (err error) {
		if Language(language) == Chinese {
			t.Chinese, err = r.text(key+"."+language, v)
		} else {
			t.English, err = r.text(key+"."+language, v)
		}
		return err
	})
	switch {
	case err != nil:
		return Text{}, err
	case t.English == "":
		return Text{}, r.wrong(v.Line, key+" has no text in English", "add en: ...")
	case t.Chinese == "":
		t.Chinese = t.English
	}
	return t, nil
}

// code parses a code.
func (r *rowParser) code(key string, v *yaml.Node) (string, error) {
	s := scalar(v)
	if len(s) > maxCatalogCode || !codeForm.MatchString(s) {
		return "", r.wrong(v.Line, fmt.Sprintf("%s %q is not a code", key, s), fmt.Sprintf("write up to %d letters, digits and . _ : / -, as the vendor sends it", maxCatalogCode))
	}
	return s, nil
}

// status parses an HTTP status or a class of statuses.
func (r *rowParser) status(_ string, v *yaml.Node) (int, error) {
	s := scalar(v)
	if class, ok := strings.CutSuffix(fold(s), "xx"); ok && (class == "3" || class == "4" || class == "5") {
		return int(class[0] - '0'), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 200 || n > 999 {
		return 0, r.wrong(v.Line, fmt.Sprintf("%q is not an HTTP status", s), "write a number from 200 to 999, or 3xx, 4xx, 5xx")
	}
	return n, nil
}

// message parses a message pattern.
func (r *rowParser) message(key string, v *yaml.Node) (string, error) {
	s, err := r.text(key, v)
	if err != nil {
		return "", err
	}
	if strings.Trim(s, "* ") == "" {
		return "", r.wrong(v.Line, "a message pattern of stars matches everything", "add text of the message")
	}
	return s, nil
}

// tableRow parses a row number of the vendor's table.
func (r *rowParser) tableRow(v *yaml.Node) (int, error) {
	s := scalar(v)
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxTableRow {
		return 0, r.wrong(v.Line, fmt.Sprintf("row %q is not in the vendor's table", s), fmt.Sprintf("write 1 to %d, or leave row out", maxTableRow))
	}
	return n, nil
}

// flag parses true or false.
func (r *rowParser) flag(key string, v *yaml.Node) (bool, error) {
	s := scalar(v)
	if s != "true" && s != "false" {
		return false, r.wrong(v.Line, fmt.Sprintf("%s is %q", key, s), "write true or false")
	}
	return s == "true", nil
}

// oneOf parses one of a set of words.
func oneOf[T ~string](r *rowParser, key string, v *yaml.Node, words ...T) (T, error) {
	s := scalar(v)
	if !slices.Contains(words, T(s)) {
		return "", r.wrong(v.Line, fmt.Sprintf("unknown %s %q", key, s), "use one of "+join(words))
	}
	return T(s), nil
}

// each parses a list.
func each[T any](r *rowParser, key string, v *yaml.Node, read func(string, *yaml.Node) (T, error)) ([]T, error) {
	if v.Kind != yaml.SequenceNode || len(v.Content) == 0 {
		return nil, r.wrong(v.Line, key+" is not a list", "write [a, b], or leave "+key+" out")
	}
	values := make([]T, 0, len(v.Content))
	for _, item := range v.Content {
		value, err := read(key, item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
