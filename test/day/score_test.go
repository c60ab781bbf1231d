package day

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// goal is the least precision and recall of each row.
const goal = 0.99

// tally compares what was given with what is true.
type tally struct{ truth, given, right int }

// precision returns the share of what was given that is true.
func (t tally) precision() float64 { return share(t.right, t.given) }

// recall returns the share of what is true that was given.
func (t tally) recall() float64 { return share(t.right, t.truth) }

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// score is the result of a day.
type score struct {
	scenarios int
	attempts  int
	broken    int               // attempts that were not classified as planned
	rows      map[string]*tally // by diagnosis, event or metric
	noticed   []diagnosis.Notice
	expected  []event                    // that follow from the requests
	seen      map[string][]string        // by credential: the regions and services it was used for
	misses    map[string]int             // by scenario and what is wrong
	scenario  string                     // of the current attempt
	ran       map[string]bool            // by scenario
	where     map[string]map[string]bool // by kind of diagnosis: the scenarios in which it was given
	calls     truthOfCalls
}

func newScore() *score {
	return &score{rows: make(map[string]*tally), misses: make(map[string]int), seen: make(map[string][]string), ran: make(map[string]bool), where: make(map[string]map[string]bool), calls: newTruthOfCalls()}
}

// row returns the tally of that name.
func (s *score) row(name string) *tally {
	if s.rows[name] == nil {
		s.rows[name] = new(tally)
	}
	return s.rows[name]
}

// miss records what is wrong.
func (s *score) miss(scenario, name, what string) { s.misses[scenario+": "+name+": "+what]++ }

// attempt scores the causes that were given for an attempt.
func (s *score) attempt(scenario string, o *classify.Observation, a *attempt, given []diagnosis.Cause) {
	s.calls.attempt(o, a)
	s.use(o)
	for _, c := range a.must {
		s.row(string(c)).truth++
		if !slices.Contains(given, c) {
			s.miss(scenario, string(c), "not given")
		}
	}
	for _, c := range given {
		if slices.Contains(a.may, c) {
			continue
		}
		t := s.row(string(c))
		t.given++
		if slices.Contains(a.must, c) {
			t.right++
		} else {
			s.miss(scenario, string(c), "not true")
		}
	}
}

// use notes the first use of a key, and that in another region or for another
// service: each is an event.
func (s *score) use(o *classify.Observation) {
	if o.Credential == "" {
		return
	}
	expect := func(c diagnosis.Cause) { s.expected = append(s.expected, event{c, o.Credential, o.End, o.End}) }
	places := s.seen[o.Credential]
	if places == nil {
		expect(diagnosis.CauseKeyFirstSeen)
	}
	for kind, place := range map[diagnosis.Cause]string{diagnosis.CauseKeyNewRegion: o.Call.Region, diagnosis.CauseKeyNewService: o.Call.Service} {
		known := slices.ContainsFunc(places, func(p string) bool { return strings.HasPrefix(p, string(kind)) })
		if place = string(kind) + " " + place; strings.HasSuffix(place, " ") || slices.Contains(places, place) {
			continue
		}
		if known {
			expect(kind)
		}
		places = append(places, place)
	}
	s.seen[o.Credential] = places
}

// probe scores a look at a summary.
func (s *score) probe(name string, right bool) {
	t := s.row(name)
	t.truth++
	t.given++
	if right {
		t.right++
	}
}

// notice records an event.
func (s *score) notice(e diagnosis.Notice) {
	s.noticed = append(s.noticed, e)
	s.given("event " + string(e.Cause))
}

// given records that a kind of diagnosis was given in the current scenario.
func (s *score) given(kind string) {
	if s.where[kind] == nil {
		s.where[kind] = make(map[string]bool)
	}
	s.where[kind][s.scenario] = true
}

// events compares the events that were noticed with those that should be.
func (s *score) events(want []event) {
	open := slices.Concat(want, s.expected)
	for _, e := range open {
		s.row("event "+string(e.cause)).truth++
	}
	for _, e := range s.noticed {
		t := s.row("event " + string(e.Cause))
		t.given++
		i := slices.IndexFunc(open, func(w event) bool {
			return w.cause == e.Cause && w.key == e.Credential && !e.Time.Before(w.from) && !e.Time.After(w.to)
		})
		if i < 0 {
			s.miss("events", string(e.Cause), "not true: "+e.Credential+" "+e.Action+" "+e.Time.Format(time.TimeOnly))
			continue
		}
		t.right++
		open = slices.Delete(open, i, i+1)
	}
	for _, e := range open {
		s.miss("events", string(e.cause), "not noticed: "+e.key+" "+e.from.Format(time.TimeOnly))
	}
}

// count compares a count of the Diagnoser with the true one.
func (s *score) count(row, what string, truth, given uint64) {
	if truth == 0 && given == 0 {
		return
	}
	t := s.row(row)
	t.truth += int(truth)
	t.given += int(given)
	t.right += int(min(truth, given))
	if truth != given {
		s.miss("counts", row+" "+what, fmt.Sprintf("%d, want %d", given, truth))
	}
}

// low returns the rows below the goal, sorted.
func (s *score) low() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.rows)) {
		if t := s.rows[name]; t.precision() < goal || t.recall() < goal {
			names = append(names, fmt.Sprintf("%s: precision %.4f, recall %.4f", name, t.precision(), t.recall()))
		}
	}
	return names
}

// missed returns what is wrong, sorted.
func (s *score) missed() (lines []string) {
	for _, what := range slices.Sorted(maps.Keys(s.misses)) {
		lines = append(lines, fmt.Sprintf("%d x %s", s.misses[what], what))
	}
	return lines
}

// table returns the figures of both days as a table in Markdown.
func table(first, second *score) string {
	names := map[string]bool{}
	for _, s := range []*score{first, second} {
		for name := range s.rows {
			names[name] = true
		}
	}
	var b strings.Builder
	b.WriteString("| diagnosis | true | given | precision | recall | held-out: true | given | precision | recall |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		kind, rest, ok := strings.Cut(name, " ")
		if ok {
			fmt.Fprintf(&b, "| %s `%s` |", kind, rest)
		} else {
			fmt.Fprintf(&b, "| `%s` |", name)
		}
		for _, s := range []*score{first, second} {
			if t := s.rows[name]; t == nil {
				b.WriteString(" | | | |")
			} else {
				fmt.Fprintf(&b, " %d | %d | %.3f | %.3f |", t.truth, t.given, t.precision(), t.recall())
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
