package diagnosis

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxRepeats = 4096 // number of slots for recent queries
	// repeatSeconds is how long the result of a query could have been used again, if
	// its Period is not longer. The data of Cloud Monitor has a period of at least a
	// minute. One second less leaves out programs that ask once per period, whose
	// responses take different times.
	repeatSeconds = 59
	maxPeriod     = 24 * 60 * 60 // longest Period that is considered, in seconds
	maxRedundant  = 64           // number of redundant queries remembered
	// The minimum share, in percent, and number of redundant calls for a diagnosis.
	redundantPercent = 10
	redundantCalls   = 30
)

// RedundantReason is why a call could have been saved.
type RedundantReason string

// The reasons.
const (
	RedundantOtherClient RedundantReason = "other_client" // another program had asked the same
	RedundantTooOften    RedundantReason = "too_often"    // the program itself had
)

var redundantReasons = [...]RedundantReason{RedundantOtherClient, RedundantTooOften}

// repeats remembers the last successful queries. A query whose slot is taken by
// another one is forgotten, so that repeats may be missed, but none is invented.
type repeats [maxRepeats]struct {
	key  atomic.Uint64 // what was asked, with which credential
	seen atomic.Uint64 // when, in seconds since the epoch, and by which program: see pack
}

// pack returns the time and the program of a query as one value.
func pack(o *classify.Observation) uint64 {
	return uint64(o.End.Unix())<<32 | first(o.Client.Addr().Unmap())&(1<<32-1) //nolint:gosec // positive; the upper bits are cut off
}

// observeRepeat learns from a successful attempt, and counts it if its result was
// known already.
func (d *Diagnoser) observeRepeat(o *classify.Observation, from *use, u *usage) {
	if u == nil || !u.act.reads || o.Call.Fingerprint == 0 || o.Call.Unread != classify.UnreadNone ||
		o.Verdict.Outcome != classify.OutcomeSuccess || o.Source == classify.SourceCSM {
		return
	}
	u.results.Add(1)
	key := o.Call.Fingerprint ^ u.hash
	slot := &d.repeats[key%maxRepeats]
	now := pack(o)
	if slot.key.Load() == key {
		seen := slot.seen.Load()
		if age := int64(now>>32) - int64(seen>>32); age >= 0 && (age < repeatSeconds || age < maxPeriod && withinPeriod(o, age)) {
			reason := 1
			if uint32(seen) != uint32(now) { //nolint:gosec // the lower half
				reason = 0
			}
			u.act.redundant[reason].Add(1)
			u.repeated.Add(1)
			d.redundant.observe(key, o, from, u)
			return
		}
	}
	slot.key.Store(key)
	slot.seen.Store(now)
}

// withinPeriod reports whether a query comes less than its Period after the same
// query, age seconds before.
func withinPeriod(o *classify.Observation, age int64) bool {
	q := classify.ReadQuery(o.Target, o.RequestBody)
	return age < int64(q.Period()/time.Second)-1
}

// RedundantQuery is a query that was asked again although its result was known.
type RedundantQuery struct {
	Service    string   `json:"service"`
	Action     string   `json:"action"`
	Version    string   `json:"version"`
	Query      string   `json:"query,omitempty"` // the instance and the metric that are asked for
	Credential string   `json:"credential,omitempty"`
	Programs   []string `json:"programs"` // that asked again, in order; at most maxPrograms
	// Sightings are of the calls that could have been saved.
	Sightings
}

// redundantQueries remembers redundant queries. Its memory is bounded by maxRedundant:
// beyond, the query that was asked again least often is forgotten.
type redundantQueries struct {
	mu  sync.Mutex
	all map[uint64]*RedundantQuery
}

// observe records a redundant call with its key, its use, which may be nil, and its
// usage.
func (t *redundantQueries) observe(key uint64, o *classify.Observation, from *use, u *usage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.all[key]
	if q == nil {
		t.makeRoom()
		asked := classify.ReadQuery(o.Target, o.RequestBody)
		q = &RedundantQuery{
			Service: strings.Clone(classify.Scrub(o.Call.Service)), Action: strings.Clone(classify.Scrub(o.Call.Action)),
			Version: strings.Clone(classify.Scrub(o.Call.Version)), Query: asked.Name(), Credential: u.credential, Programs: []string{},
		}
		t.all[key] = q
	}
	if from != nil {
		q.Programs = insert(q.Programs, from.program)
	}
	q.add(Sightings{First: o.End, Last: o.End, Count: 1})
}

// makeRoom makes sure that there is room for one more query.
func (t *redundantQueries) makeRoom() {
	if t.all == nil {
		t.all = make(map[uint64]*RedundantQuery)
	}
	if len(t.all) < maxRedundant {
		return
	}
	var rarest uint64
	var least *RedundantQuery
	for key, q := range t.all {
		if least == nil || q.Count < least.Count || q.Count == least.Count && q.Last.Before(least.Last) {
			rarest, least = key, q
		}
	}
	delete(t.all, rarest)
}

// list returns the redundant queries.
func (t *redundantQueries) list() []RedundantQuery {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := sorted(t.all, func(q *RedundantQuery) (int64, string) { return q.Count, q.Action + q.Version + q.Query + q.Credential })
	for i := range all {
		all[i].Programs = slices.Clone(all[i].Programs)
	}
	return all
}

// isRead reports whether an action reads, by its name.
func isRead(action string) bool {
	for _, prefix := range [...]string{"Get", "List", "Describe", "Query"} {
		if strings.HasPrefix(action, prefix) {
			return true
		}
	}
	return false
}

// redundant returns the diagnosis of a throttled attempt with the usage u, which may
// be nil, if many calls of its action with its credential, which share a limit with
// it, could have been saved.
func redundant(o *classify.Observation, u *usage) (Diagnosis, bool) {
	if o.Verdict.Category != classify.CategoryThrottled || u == nil {
		return Diagnosis{}, false
	}
	calls, saved := u.results.Load(), u.repeated.Load()
	if saved < redundantCalls || 100*saved < redundantPercent*calls {
		return Diagnosis{}, false
	}
	return say(CauseCallsRedundant, Possible,
		classify.Fact{Name: "action", Value: orDash(u.action)},
		classify.Fact{Name: "calls", Value: strconv.FormatUint(calls, 10)},
		classify.Fact{Name: "redundant", Value: strconv.FormatUint(saved, 10)},
		classify.Fact{Name: "share", Value: strconv.FormatUint(100*saved/max(1, calls), 10)}), true
}
