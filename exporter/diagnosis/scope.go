package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Incident is a kind of failure that goes on, and how much of what the programs do is
// affected. It contains no secrets. Its JSON form is part of the API.
type Incident struct {
	Kind     string            `json:"kind"` // see Kind
	Category classify.Category `json:"category"`
	Blame    classify.Blame    `json:"blame"`
	Scope
	Last  time.Time `json:"last"`  // of the last failure
	Count int       `json:"count"` // number of failed attempts

	Actions     Share `json:"actions"`
	Regions     Share `json:"regions"`
	Credentials Share `json:"credentials"`
	Programs    Share `json:"programs"`
}

// Scope is since when and how widely failures of one kind occur, in the parts of a
// sentence. It contains no secrets. Its JSON form is part of the API.
type Scope struct {
	Since time.Time `json:"since,omitzero"` // of the first failure, UTC
	// Extent is which actions, regions, credentials and programs are affected. Dimensions
	// with one active value are left out. If Since is zero, it is the whole sentence, as
	// read from a log line.
	Extent Text       `json:"extent,omitzero"`
	After  *Happening `json:"after,omitempty"` // the event that it began after
}

// Share is how many of the active values of a kind are affected. Values are active
// for 15 minutes after an attempt.
type Share struct {
	Affected int `json:"affected"`
	Active   int `json:"active"`
	// Names are affected values, sorted: the first ones of at most maxNamed.
	Names []string `json:"names"`
}

const (
	maxIncidents = 64 // maximum number of kinds of failure remembered
	maxAffected  = 64 // maximum number of affected values counted of each dimension
	maxNamed     = 5  // maximum number of affected values named of each dimension
	scopeAge     = time.Second
)

// MaxScope is the maximum memory of the extent and the event of a scope, in bytes.
const MaxScope = 2 << 10

// OtherKind is the Kind of a failure whose code the catalogue does not know.
const OtherKind = "_OTHER"

// Kind returns a word of low cardinality for a failure: the fault, the code as
// spelled in the catalogue, the status, or OtherKind. It is "" if the attempt did
// not fail.
func Kind(o *classify.Observation) string {
	v := &o.Verdict
	switch {
	case !v.Outcome.Failed():
		return ""
	case o.Fault != classify.FaultNone:
		return string(o.Fault)
	case v.Match == classify.MatchCode && v.Entry != nil && v.Entry.Grade != classify.GradePlaceholder:
		return v.CanonicalCode()
	case v.Code == "" && v.Status >= 400 && v.Status <= 599:
		return strconv.Itoa(v.Status)
	}
	return OtherKind
}

// The dimensions of a scope.
const (
	byAction = iota
	byRegion
	byCredential
	byProgram
	dimensions
)

// incident is the current occurrence of a kind of failure.
type incident struct {
	number   uint64 // of the incident, from 1
	kind     string
	category classify.Category
	blame    classify.Blame
	since    time.Time
	last     time.Time
	count    int
	affected [dimensions][]string // sorted; a map takes three times the memory
	after    *Happening

	scope Scope     // as it was at made
	made  time.Time // zero if there is none
}

// incidents remembers which kinds of failure occur. Its memory is bounded by
// maxIncidents and maxAffected.
type incidents struct {
	mu   sync.Mutex
	all  map[string]*incident
	last uint64    // number of the last incident
	made time.Time // when active was counted
	// active is the number of active values of each dimension.
	active [dimensions]int
}

// observe records a failure of the use u.
func (t *incidents) observe(o *classify.Observation, u *use, h *happenings) {
	kind := Kind(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[string]*incident)
	}
	i := t.all[kind]
	if i == nil || o.End.Sub(i.last) > activeTime {
		if i == nil && len(t.all) >= maxIncidents && !t.forget(o.End) {
			return
		}
		t.last++
		i = &incident{number: t.last, kind: kind, since: o.End, after: h.before(o.End)}
		t.all[kind] = i
	}
	i.category, i.blame = o.Verdict.Category, o.Verdict.Blame
	i.count++
	if o.End.After(i.last) {
		i.last = o.End
	}
	if u.incident == i.number {
		return
	}
	u.incident = i.number
	for d, v := range u.shown {
		if v == "" || len(i.affected[d]) >= maxAffected {
			continue
		}
		if at, known := slices.BinarySearch(i.affected[d], v); !known {
			i.affected[d] = slices.Insert(i.affected[d], at, v)
			i.made = time.Time{}
		}
	}
}

// forget removes a kind that no longer occurs. It returns false if there is none.
func (t *incidents) forget(now time.Time) bool {
	for kind, i := range t.all {
		if now.Sub(i.last) > activeTime {
			delete(t.all, kind)
			return true
		}
	}
	return false
}

// export returns an incident for output. The caller holds the lock.
func (t *incidents) export(i *incident, u *uses, now time.Time) Incident {
	if age := now.Sub(t.made); t.made.IsZero() || age < 0 || age >= scopeAge {
		t.active, t.made = u.distinct(now), now
	}
	x := Incident{
		Kind: i.kind, Category: i.category, Blame: i.blame, Last: i.last.UTC(), Count: i.count,
		Scope: Scope{Since: i.since.UTC(), After: i.after},
	}
	shares := [dimensions]*Share{&x.Actions, &x.Regions, &x.Credentials, &x.Programs}
	for d, share := range shares {
		share.Affected = len(i.affected[d])
		share.Active = max(t.active[d], share.Affected)
		share.Names = append(make([]string, 0, maxNamed), i.affected[d][:min(share.Affected, maxNamed)]...)
	}
	x.Extent = Text{English: extent(shares, English), Chinese: extent(shares, Chinese)}
	return x
}

// distinct returns the number of active values of each dimension.
func (t *uses) distinct(now time.Time) (n [dimensions]int) {
	var sets [dimensions]map[string]bool
	for d := range sets {
		sets[d] = make(map[string]bool)
	}
	for e := range t.all {
		if !e.active(now) {
			continue
		}
		for d, v := range e.value.shown {
			if v != "" {
				sets[d][v] = true
			}
		}
	}
	for d := range sets {
		n[d] = len(sets[d])
	}
	return n
}

// words are the words of a sentence about a dimension.
type words struct {
	all, some Text // "all actions", "%d of %d actions"
	only      Text // "only %s"
}

var dimensionWords = [dimensions]words{
	{Text{English: "all actions", Chinese: "所有接口"}, Text{English: "%d of %d actions", Chinese: "%d/%d 个接口"}, Text{English: "only %s", Chinese: "仅 %s"}},
	{Text{English: "all regions", Chinese: "所有区域"}, Text{English: "%d of %d regions", Chinese: "%d/%d 个区域"}, Text{English: "only %s", Chinese: "仅 %s"}},
	{Text{English: "all credentials", Chinese: "所有密钥"}, Text{English: "%d of %d credentials", Chinese: "%d/%d 个密钥"}, Text{English: "only credential %s", Chinese: "仅密钥 %s"}},
	{Text{English: "all programs", Chinese: "所有程序"}, Text{English: "%d of %d programs", Chinese: "%d/%d 个程序"}, Text{English: "only %s", Chinese: "仅 %s"}},
}

var blameWords = map[classify.Blame]Text{
	classify.BlameClient:     {English: "client", Chinese: "调用方"},
	classify.BlameCredential: {English: "credential", Chinese: "密钥或权限"},
	classify.BlameQuota:      {English: "quota", Chinese: "配额"},
	classify.BlameProvider:   {English: "provider", Chinese: "金山云"},
	classify.BlameNetwork:    {English: "network", Chinese: "网络"},
	classify.BlameTap:        {English: "tap", Chinese: "ksyun-tap"},
}

// The other words of a sentence.
var (
	wordSince = Text{English: "since %s", Chinese: "自 %s 起"}
	wordComma = Text{English: ", ", Chinese: "，"}
	wordAfter = Text{English: "after %s at %s", Chinese: "紧随以下事件之后：%s（%s）"}
	wordBlame = Text{English: "; blame: %s", Chinese: "；责任方：%s"}
)

// extent returns shares in words. A dimension with one active value is left out.
func extent(shares [dimensions]*Share, l Language) string {
	var parts []string
	for d, share := range shares {
		w := dimensionWords[d]
		switch {
		case share.Affected == 0 || share.Active == 1:
		case share.Affected == share.Active:
			parts = append(parts, w.all.In(l))
		case share.Affected == 1:
			parts = append(parts, fmt.Sprintf(w.only.In(l), share.Names[0]))
		default:
			parts = append(parts, fmt.Sprintf(w.some.In(l), share.Affected, share.Active))
		}
	}
	return strings.Join(parts, wordComma.In(l))
}

// Sentence returns the scope of a failure with a blame in words. at is the time of the
// failure. The times in the sentence are in its zone, with the date if they are at least
// 24 hours earlier. The sentence of a zero scope is "".
func (s Scope) Sentence(l Language, blame classify.Blame, at time.Time) string {
	if s.Since.IsZero() {
		return s.Extent.In(l)
	}
	stamp := func(t time.Time) string {
		layout := "15:04 MST"
		if at.Sub(t) >= 24*time.Hour {
			layout = "2006-01-02 15:04 MST"
		}
		return t.In(at.Location()).Format(layout)
	}
	parts := []string{fmt.Sprintf(wordSince.In(l), stamp(s.Since))}
	if s.Extent.English != "" {
		parts = append(parts, s.Extent.In(l))
	}
	if s.After != nil {
		parts = append(parts, fmt.Sprintf(wordAfter.In(l), s.After.Event.Text().In(l), stamp(s.After.At)))
	}
	sentence := strings.Join(parts, wordComma.In(l))
	if b, ok := blameWords[blame]; ok {
		sentence += fmt.Sprintf(wordBlame.In(l), b.In(l))
	}
	return sentence
}

// Scope returns the scope of a kind of failure (see Kind). It returns false if the
// kind has not occurred within the last 15 minutes.
func (d *Diagnoser) Scope(kind string, now time.Time) (Scope, bool) {
	t := &d.incidents
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.all[kind]
	if i == nil || now.Sub(i.last) > activeTime {
		return Scope{}, false
	}
	if age := now.Sub(i.made); i.made.IsZero() || age < 0 || age >= scopeAge {
		i.scope, i.made = t.export(i, &d.uses, now).Scope, now
	}
	return i.scope, true
}

// Incidents returns the kinds of failure that have occurred within the last 15 minutes,
// the most frequent first.
func (d *Diagnoser) Incidents(now time.Time) []Incident {
	d.Flush()
	t := &d.incidents
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Incident, 0, len(t.all))
	for _, i := range t.all {
		if now.Sub(i.last) <= activeTime {
			all = append(all, t.export(i, &d.uses, now))
		}
	}
	slices.SortFunc(all, func(a, b Incident) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind)) })
	return all
}

// Note records an event that failures may begin after.
func (d *Diagnoser) Note(e Trigger, at time.Time) { d.triggers.note(e, at) }
