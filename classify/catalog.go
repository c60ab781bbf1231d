package classify

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// Entry is one entry of the error catalogue.
type Entry struct {
	// Code is the vendor's name of the error as documented. If Grade is
	// GradePlaceholder, it is our name for an error whose code is not published.
	Code    string   `json:"code"`
	Aliases []string `json:"aliases,omitempty"` // other spellings that were seen
	Grade   Grade    `json:"grade"`             // how reliable Code is
	Row     int      `json:"row,omitempty"`     // row of the vendor's table (1 to 20); 0 if not in it

	// Refines reports that another entry has the code, and that this entry is used
	// instead only if one of Messages matches.
	Refines bool `json:"refines,omitempty"`
	// Fault is the transport's fault that the entry describes; Code is then its
	// name. It is FaultNone for errors of the vendor.
	Fault Fault `json:"fault,omitempty"`
	// DryRun reports that the entry is not a failure: the call would have
	// succeeded. The entry has no category.
	DryRun bool `json:"dry_run,omitempty"`

	Statuses []int    `json:"statuses,omitempty"` // HTTP statuses it comes with; 3, 4 and 5 stand for all 3xx, 4xx, 5xx
	Messages []string `json:"messages,omitempty"` // patterns of its messages: literal text, * for any run
	Example  string   `json:"example,omitempty"`  // a message as the vendor words it

	Type      Type     `json:"type,omitempty"` // TypeUnknown if not known
	Category  Category `json:"category,omitempty"`
	Blame     Blame    `json:"blame,omitempty"`
	Retryable bool     `json:"retryable"`

	// Texts for users have up to 512 bytes and no control characters.
	Meaning Text   `json:"meaning,omitzero"` // what it means, one sentence
	Advice  Text   `json:"advice,omitzero"`  // what to do, one or two sentences
	Source  string `json:"source,omitempty"` // where the entry comes from
}

// Grade is how reliable the code of a catalogue entry is.
type Grade string

// The grades.
const (
	GradeDocumented  Grade = "documented"  // found in the vendor's documents or software
	GradeInferred    Grade = "inferred"    // a guess; used only if status or message match too
	GradePlaceholder Grade = "placeholder" // our name; the vendor's code is not known
)

// onWire reports whether the vendor may send the entry's code.
func (e *Entry) onWire() bool { return e.Grade != GradePlaceholder && e.Fault == FaultNone }

// spell returns the entry's spelling of a code that is its code or an alias,
// ignoring case. It returns "" if it is neither.
func (e *Entry) spell(code string) string {
	if strings.EqualFold(e.Code, code) {
		return e.Code
	}
	for _, alias := range e.Aliases {
		if strings.EqualFold(alias, code) {
			return alias
		}
	}
	return ""
}

// statusOnly reports whether the entry is matched by its status alone.
func (e *Entry) statusOnly() bool {
	return e.Grade == GradePlaceholder && e.Fault == FaultNone && len(e.Messages) == 0
}

// StatusNames returns Statuses as text, with classes such as 4xx.
func (e *Entry) StatusNames() []string {
	names := make([]string, len(e.Statuses))
	for i, s := range e.Statuses {
		names[i] = strconv.Itoa(s)
		if s < 10 {
			names[i] += "xx"
		}
	}
	return names
}

// HasStatus reports whether the code comes with the HTTP status.
func (e *Entry) HasStatus(status int) bool {
	return slices.Contains(e.Statuses, status) || slices.Contains(e.Statuses, status/100)
}

// Catalog is a set of error entries, indexed for lookup. It is immutable.
type Catalog struct {
	entries []*Entry

	named    map[string]*Entry     // by folded code and alias, placeholders and faults too
	byCode   map[string][]codeRow  // by folded code and alias, what may come on the wire
	byStatus map[int]*Entry        // entries without messages, by status or class
	byFault  map[Fault]*Entry      //
	messages []messageRow          // most literal text first, a user's before ours
	patterns map[*Entry][]*pattern // of entries with messages
}

// codeRow is an entry that matches a code.
type codeRow struct {
	entry *Entry
	own   bool // the code is the entry's own name, not an alias
	extra bool // from a user's file
	// says are the results of Catalog.says for the examples of all rows of the code. Most
	// messages are the example of one of them.
	says []bool
}

// messageRow is an entry that matches a message.
type messageRow struct {
	entry   *Entry
	pattern *pattern
	extra   bool
}

//go:embed catalog.yaml
var shipped []byte

// DefaultCatalog returns the embedded catalogue. It is parsed once and shared.
func DefaultCatalog() *Catalog { return defaultCatalog() }

var defaultCatalog = sync.OnceValue(func() *Catalog {
	entries, err := parseCatalog("catalog.yaml", shipped, nil)
	if err != nil {
		panic("classify: the embedded catalogue: " + err.Error()) // cannot happen in a tested build
	}
	return index(entries, len(entries))
})

// Extend returns a copy of c with the entries of a user's file added. An entry
// whose code exists in c replaces that entry and the entries that refine it. name
// is the file name in errors, which give the line and a hint how to fix it.
func (c *Catalog) Extend(name string, data []byte) (*Catalog, error) {
	added, err := parseCatalog(name, data, c)
	if err != nil {
		return nil, err
	}
	replaced := make(map[string]bool, len(added))
	for _, e := range added {
		if !e.Refines {
			replaced[ascii.ToLower(e.Code)] = true
		}
	}
	entries := make([]*Entry, 0, len(c.entries)+len(added))
	for _, e := range c.entries {
		if !replaced[ascii.ToLower(e.Code)] {
			entries = append(entries, e)
		}
	}
	ours := len(entries)
	return index(append(entries, added...), ours), nil
}

// index returns a catalogue of the entries. Those from the index extra on are from
// a user's file.
func index(entries []*Entry, extra int) *Catalog {
	c := &Catalog{
		entries:  entries,
		named:    make(map[string]*Entry),
		byCode:   make(map[string][]codeRow),
		byStatus: make(map[int]*Entry),
		byFault:  make(map[Fault]*Entry),
		patterns: make(map[*Entry][]*pattern),
	}
	for i, e := range entries {
		c.add(e, i >= extra)
	}
	for _, rows := range c.byCode {
		for i := range rows {
			for _, other := range rows {
				rows[i].says = append(rows[i].says, c.says(rows[i].entry, &failedResponse{message: []byte(other.entry.Example)}))
			}
		}
	}
	slices.SortStableFunc(c.messages, func(a, b messageRow) int {
		if a.extra != b.extra {
			if a.extra {
				return -1
			}
			return 1
		}
		return b.pattern.literal - a.pattern.literal
	})
	return c
}

// add adds e to the indexes.
func (c *Catalog) add(e *Entry, extra bool) {
	for i, name := range append([]string{e.Code}, e.Aliases...) {
		name = ascii.ToLower(name)
		if old, ok := c.named[name]; !ok || i == 0 && !e.Refines && (extra || ascii.ToLower(old.Code) != name) {
			c.named[name] = e
		}
		if e.onWire() {
			c.byCode[name] = append(c.byCode[name], codeRow{entry: e, own: i == 0, extra: extra})
		}
	}
	for _, m := range e.Messages {
		p := newPattern(m)
		c.patterns[e] = append(c.patterns[e], p)
		c.messages = append(c.messages, messageRow{entry: e, pattern: p, extra: extra})
	}
	if e.Fault != FaultNone {
		c.byFault[e.Fault] = e
	}
	if e.statusOnly() {
		for _, s := range e.Statuses {
			if _, taken := c.byStatus[s]; !taken || extra {
				c.byStatus[s] = e
			}
		}
	}
}

// Entries returns all entries in the order of their files. The caller must not
// modify them.
func (c *Catalog) Entries() []*Entry { return c.entries }

// Lookup returns the entry with the given code or alias, ignoring case. It does
// not return entries that refine another one. The names of faults and placeholders
// are found too.
func (c *Catalog) Lookup(code string) (*Entry, bool) {
	e, ok := c.named[ascii.ToLower(strings.TrimSpace(code))]
	return e, ok
}

// failedResponse holds the parts of a failed response that entries are matched by.
type failedResponse struct {
	status  int
	code    []byte // lower case
	message []byte // cleaned
	// is2xx reports that status is a 2xx, which says nothing about the error.
	is2xx bool

	lowered    [maxMessage]byte
	hasLowered bool
}

// lower returns the message in lower case. It is computed on demand, as it is rarely needed.
func (a *failedResponse) lower() []byte {
	text := a.lowered[:min(len(a.message), maxMessage)]
	if !a.hasLowered {
		for i := range text {
			text[i] = ascii.Lower(a.message[i])
		}
		a.hasLowered = true
	}
	return text
}

// match returns the entry for a and what matched.
func (c *Catalog) match(a *failedResponse) (*Entry, Match) {
	if e := c.matchCode(a); e != nil {
		return e, MatchCode
	}
	if e := c.matchMessage(a); e != nil {
		return e, MatchMessage
	}
	status, named := a.status, len(a.code) > 0
	if isNumber(a.code) {
		// A numeric code identifies an error only if it is an HTTP status,
		// possibly the real one behind a 2xx.
		if n := number10(a.code); n == status || a.is2xx {
			status, named = n, false
		}
	} else if a.is2xx {
		return nil, MatchNone
	}
	// An unknown code is a different error than those of the entries for the same
	// status, so only the entry for the class of the status applies.
	if e, ok := c.byStatus[status]; ok && !named {
		return e, MatchStatus
	}
	if e, ok := c.byStatus[status/100]; ok {
		return e, MatchStatus
	}
	return nil, MatchNone
}

// The weights by which entries for the same code are ranked. A matching message
// outweighs a matching status, which outweighs the code not being an alias.
const (
	weightOwn     = 1
	weightExtra   = 2
	weightStatus  = 4
	weightMessage = 8
)

// matchCode returns the best entry for the code of a, or nil if there is none.
func (c *Catalog) matchCode(a *failedResponse) *Entry {
	if len(a.code) == 0 {
		return nil
	}
	var best *Entry
	most := -1
	candidates := c.byCode[string(a.code)]
	example := slices.IndexFunc(candidates, func(r codeRow) bool { return r.entry.Example == string(a.message) })
	for i := range candidates {
		r := &candidates[i]
		e, weight := r.entry, 0
		if !a.is2xx && e.HasStatus(a.status) {
			weight += weightStatus
		}
		// Match the message only if it can change the result.
		asked := len(candidates) > 1 || e.Grade == GradeInferred && weight == 0
		if asked && (example >= 0 && r.says[example] || example < 0 && c.says(e, a)) {
			weight += weightMessage
		} else if e.Refines {
			continue
		}
		if e.Grade == GradeInferred && weight == 0 {
			continue
		}
		if r.own {
			weight += weightOwn
		}
		if r.extra {
			weight += weightExtra
		}
		if weight > most {
			best, most = e, weight
		}
	}
	return best
}

// matchMessage returns the entry with the most literal pattern that matches, or
// nil if there is none. The status must match unless it is a 2xx.
func (c *Catalog) matchMessage(a *failedResponse) *Entry {
	if len(a.message) == 0 {
		return nil
	}
	for i := range c.messages {
		r := &c.messages[i]
		if !a.is2xx && len(r.entry.Statuses) > 0 && !r.entry.HasStatus(a.status) {
			continue
		}
		if r.pattern.matches(a.lower()) {
			return r.entry
		}
	}
	return nil
}

// says reports whether the message of a matches a pattern of e.
func (c *Catalog) says(e *Entry, a *failedResponse) bool {
	if len(a.message) == 0 || len(e.Messages) == 0 {
		return false
	}
	for _, p := range c.patterns[e] {
		if p.matches(a.lower()) {
			return true
		}
	}
	return false
}
