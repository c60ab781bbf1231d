package diagnosis

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Scope is since when failures of one kind occur, and how much of what the programs
// do is affected. It contains no secrets. Its JSON form is part of the API.
type Scope struct {
	Kind     string            `json:"kind"` // see Kind
	Category classify.Category `json:"category"`
	Blame    classify.Blame    `json:"blame"`
	Since    time.Time         `json:"since"` // of the first failure
	Last     time.Time         `json:"last"`  // of the last failure
	Count    int               `json:"count"` // number of failed attempts

	Actions     Share `json:"actions"`
	Regions     Share `json:"regions"`
	Credentials Share `json:"credentials"`
	Programs    Share `json:"programs"`

	After    *Happening `json:"after,omitempty"` // the event that it began after
	Sentence Text       `json:"sentence"`
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

// MaxScope is the maximum memory of the sentence of a scope, in bytes.
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

// scopeOf returns the scope of an incident. The caller holds the lock.
func (t *incidents) scopeOf(i *incident, u *uses, now time.Time) Scope {
	if age := now.Sub(i.made); !i.made.IsZero() && 0 <= age && age < scopeAge {
		s := i.scope
		s.Last, s.Count = i.last.UTC(), i.count
		return s
	}
	if age := now.Sub(t.made); t.made.IsZero() || age < 0 || age >= scopeAge {
		t.active, t.made = u.distinct(now), now
	}
	s := Scope{
		Kind: i.kind, Category: i.category, Blame: i.blame,
		Since: i.since.UTC(), Last: i.last.UTC(), Count: i.count, After: i.after,
	}
	for d, share := range []*Share{&s.Actions, &s.Regions, &s.Credentials, &s.Programs} {
		share.Affected = len(i.affected[d])
		share.Active = max(t.active[d], share.Affected)
		share.Names = append(make([]string, 0, maxNamed), i.affected[d][:min(share.Affected, maxNamed)]...)
	}
	s.Sentence = s.sentence()
	i.scope, i.made = s, now
	return s
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

// sentence returns the scope in words. A dimension with one active value is left out.
func (s *Scope) sentence() Text {
	stamp := func(t time.Time) string {
		if s.Last.Sub(t) >= 24*time.Hour {
			return t.Format(sentenceDate)
		}
		return t.Format(sentenceClock)
	}
	en := []string{"since " + stamp(s.Since)}
	zh := []string{"自 " + stamp(s.Since) + " 起"}
	for d, share := range []Share{s.Actions, s.Regions, s.Credentials, s.Programs} {
		w := dimensionWords[d]
		switch {
		case share.Affected == 0 || share.Active == 1:
		case share.Affected == share.Active:
			en, zh = append(en, w.all.English), append(zh, w.all.Chinese)
		case share.Affected == 1:
			en, zh = append(en, fmt.Sprintf(w.only.English, share.Names[0])), append(zh, fmt.Sprintf(w.only.Chinese, share.Names[0]))
		default:
			en = append(en, fmt.Sprintf(w.some.English, share.Affected, share.Active))
			zh = append(zh, fmt.Sprintf(w.some.Chinese, share.Affected, share.Active))
		}
	}
	t := Text{English: strings.Join(en, ", "), Chinese: strings.Join(zh, "，")}
	if s.After != nil {
		e := s.After.Event.Text()
		t.English += ", after " + e.English + " at " + stamp(s.After.At)
		t.Chinese += "，紧随以下事件之后：" + e.Chinese + "（" + stamp(s.After.At) + "）"
	}
	if b, ok := blameWords[s.Blame]; ok {
		t.English += "; blame: " + b.English
		t.Chinese += "；责任方：" + b.Chinese
	}
	return t
}

// The formats of times in a sentence: that of the last 24 hours, and that of others.
const (
	sentenceClock = "15:04 UTC"
	sentenceDate  = "2006-01-02 15:04 UTC"
)

// ParseSentence returns the parts of a sentence of a failure at a time: since when
// failures of its kind occur, and the text between that and the blame, in which
// SentenceTimes finds the other times. since is zero if it is not such a sentence.
func ParseSentence(sentence Text, at time.Time) (since time.Time, affected Text) {
	since, affected.English = parseSentence(sentence.English, "since ", ", ", "; blame: ", at)
	_, affected.Chinese = parseSentence(sentence.Chinese, "自 ", " 起，", "；责任方：", at)
	return since, affected
}

func parseSentence(sentence, before, after, blame string, at time.Time) (since time.Time, affected string) {
	i := SentenceTimes.FindStringIndex(sentence)
	if i == nil || sentence[:i[0]] != before {
		return time.Time{}, ""
	}
	affected = sentence[i[1]:]
	if end := strings.LastIndex(affected, blame); end >= 0 {
		affected = affected[:end]
	}
	if !strings.HasPrefix(affected, after) {
		affected = ""
	}
	return SentenceTime(sentence[i[0]:i[1]], at), strings.TrimPrefix(affected, after)
}

// SentenceTimes matches the times in a sentence.
var SentenceTimes = regexp.MustCompile(`(?:[0-9]{4}-[0-9]{2}-[0-9]{2} )?[0-9]{2}:[0-9]{2} UTC`)

// SentenceTime returns the time, without its seconds, that the sentence of a failure at a
// time means by text, or the zero time.
func SentenceTime(text string, at time.Time) time.Time {
	if t, err := time.Parse(sentenceDate, text); err == nil {
		return t
	}
	clock, err := time.Parse(sentenceClock, text)
	if err != nil {
		return time.Time{}
	}
	at = at.UTC()
	t := time.Date(at.Year(), at.Month(), at.Day(), clock.Hour(), clock.Minute(), 0, 0, time.UTC)
	if t.After(at) {
		t = t.AddDate(0, 0, -1)
	}
	return t
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
	return t.scopeOf(i, &d.uses, now), true
}

// Incidents returns the scopes of the kinds of failure that have occurred within the
// last 15 minutes, the most frequent first.
func (d *Diagnoser) Incidents(now time.Time) []Scope {
	t := &d.incidents
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Scope, 0, len(t.all))
	for _, i := range t.all {
		if now.Sub(i.last) <= activeTime {
			all = append(all, t.scopeOf(i, &d.uses, now))
		}
	}
	slices.SortFunc(all, func(a, b Scope) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind)) })
	return all
}

// Note records an event that failures may begin after.
func (d *Diagnoser) Note(e Trigger, at time.Time) { d.triggers.note(e, at) }
