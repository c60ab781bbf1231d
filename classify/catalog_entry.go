package classify

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// The keys by which an entry is named.
const (
	keyCode    = "code"
	keyRefines = "refines"
	keyFault   = "fault"
)

// entryKeys are the keys of an entry.
var entryKeys = []string{
	keyCode, keyRefines, keyFault, "aliases", "grade", "row", "statuses", "messages", "example",
	"type", "category", "blame", "retryable", "dry_run", "meaning", "advice", "source",
}

// entryParser parses one entry.
type entryParser struct {
	*catalogParser
	line  int
	entry Entry
	given map[string]int // line of each key
}

// parse parses one entry and checks it as a whole.
func (r *entryParser) parse(n *yaml.Node) (*Entry, error) {
	r.given = make(map[string]int)
	if err := r.fields(n, "an entry", entryKeys, r.set); err != nil {
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
func (r *entryParser) set(key string, v *yaml.Node) (err error) {
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

// has reports whether the entry contains key.
func (r *entryParser) has(key string) bool { return r.given[key] > 0 }

// name checks that the entry has exactly one name, and that the name is free.
func (r *entryParser) name() error {
	var kinds []string
	for _, k := range []string{keyCode, keyRefines, keyFault} {
		if r.has(k) {
			kinds = append(kinds, k)
		}
	}
	switch len(kinds) {
	case 0:
		return r.wrong(r.line, "the entry has no code", `add "code: ..." (or refines, or fault)`)
	case 1:
	default:
		return r.wrong(r.given[kinds[1]], "the entry has both "+kinds[0]+" and "+kinds[1], "keep one")
	}
	e := &r.entry
	switch kinds[0] {
	case keyRefines:
		e.Refines = true
		if r.has("aliases") {
			return r.wrong(r.given["aliases"], "an entry that refines has aliases", "give them to the entry of "+e.Code)
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
		if at, taken := r.seen[ascii.ToLower(code)]; taken {
			return r.wrong(line, fmt.Sprintf("%q is already a name of the entry at line %d", code, at), "merge the two entries")
		}
		if i > 0 && r.knowsCode(code) {
			return r.wrong(line, fmt.Sprintf("the alias %q is the code of an entry of the catalogue", code), "replace that entry by its code, or refine it")
		}
		r.seen[ascii.ToLower(code)] = r.line
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
	return ok && ascii.ToLower(e.Code) == ascii.ToLower(code)
}

// inherit copies the keys that a refining entry omits from the entry that it refines.
func (r *entryParser) inherit() error {
	e := &r.entry
	if !e.Refines {
		e.Grade = cmp.Or(e.Grade, GradeDocumented)
		if e.Fault != FaultNone {
			e.Grade = GradePlaceholder
			e.Source = cmp.Or(e.Source, "ksyun-tap") // which saw it itself
		}
		e.Type = cmp.Or(e.Type, TypeUnknown)
		return nil
	}
	base := r.base(e.Code)
	if base == nil {
		return r.wrong(r.given[keyRefines], fmt.Sprintf("no entry has the code %q", e.Code), "put the entry it refines before it")
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
	e.Meaning.English = cmp.Or(e.Meaning.English, base.Meaning.English)
	e.Meaning.Chinese = cmp.Or(e.Meaning.Chinese, base.Meaning.Chinese)
	e.Advice.English = cmp.Or(e.Advice.English, base.Advice.English)
	e.Advice.Chinese = cmp.Or(e.Advice.Chinese, base.Advice.Chinese)
	e.Source = cmp.Or(e.Source, base.Source)
	return nil
}

// base returns the entry that has code, in this file or else in the catalogue that
// it extends.
func (r *entryParser) base(code string) *Entry {
	for _, e := range r.entries {
		if !e.Refines && e.onWire() && ascii.ToLower(e.Code) == ascii.ToLower(code) {
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
func (r *entryParser) check() error {
	e := &r.entry
	switch {
	case e.DryRun && r.has("category"):
		return r.wrong(r.given["category"], "a dry run has a category", "leave it out: it is no failure")
	case !e.DryRun && e.Category == "":
		return r.wrong(r.line, "the entry has no category", "add one of "+join(Categories()))
	case e.Refines && len(e.Messages) == 0:
		return r.wrong(r.line, "an entry that refines has no messages", "add the patterns it is for")
	case e.Fault != FaultNone && (r.has("statuses") || r.has("messages") || r.has("aliases") || r.has("grade")):
		return r.wrong(r.line, "the entry of a fault has statuses, messages, aliases or a grade", "leave them out: there was no response")
	case e.Fault != FaultNone && e.Blame == "":
		return r.wrong(r.line, "the entry of a fault has no blame", "add one of client, credential, quota, provider, network, tap")
	case e.Refines && e.Grade == GradePlaceholder:
		return r.wrong(r.line, "an entry that refines is a placeholder", "use documented or inferred")
	case e.Grade == GradePlaceholder && e.Fault == FaultNone && len(e.Statuses) == 0:
		return r.wrong(r.line, "a placeholder has no statuses", "add them: its code is never compared")
	case e.Grade == GradeInferred && len(e.Statuses) == 0 && len(e.Messages) == 0:
		return r.wrong(r.line, "an inferred entry has neither statuses nor messages", "add some: its code never decides alone")
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

// faults are the faults that an entry may describe. FaultCanceled is not a failure
// and needs no advice.
var faults = []Fault{
	FaultBadRequest, FaultNoRoute, FaultHostRefused, FaultLoop, FaultUnsupported, FaultSignature,
	FaultDNS, FaultConnRefused, FaultUnreachable, FaultDialTimeout, FaultTLS, FaultExhausted,
	FaultTimeout, FaultReset, FaultClosed, FaultBadResponse, FaultHeadTooLong, FaultShutdown,
}
