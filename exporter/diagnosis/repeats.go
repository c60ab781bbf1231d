package diagnosis

import (
	"math"
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
type repeats [maxRepeats]repeat

// repeat is a query and its last result.
type repeat struct {
	key    atomic.Uint64 // what was asked, with which credential
	seen   atomic.Uint64 // when, in seconds since the epoch, and by which program: see pack
	period atomic.Uint64 // the upper bits of key, and its Period in seconds; another key if that was not read
	again  atomic.Uint32 // number of times that it was asked again
}

// pack returns a time and the program that a use is of as one value.
func pack(second int64, u *use) uint64 {
	return uint64(second)<<32 | u.address&math.MaxUint32 //nolint:gosec // positive
}

// observeRepeat learns from a successful attempt, and counts it if its result was
// known already.
func (d *Diagnoser) observeRepeat(o *classify.Observation, f found, second int64) {
	u := f.usage
	if !u.act.reads || f.use == &d.noUse || o.Call.Fingerprint == 0 || o.Call.Unread != classify.UnreadNone ||
		o.Verdict.Outcome != classify.OutcomeSuccess || o.Source == classify.SourceCSM {
		return
	}
	key := o.Call.Fingerprint ^ u.hash
	r := &d.repeats[key%maxRepeats]
	now := pack(second, f.use)
	if r.key.Load() != key {
		r.take(key, now)
		return
	}
	seen := r.seen.Load()
	if age := second - int64(seen>>32); age < 0 || age >= repeatSeconds && !r.withinPeriod(key, o, age) {
		r.seen.Store(now)
		return
	}
	reason := 1
	if uint32(seen) != uint32(now) { //nolint:gosec // the lower half
		reason = 0
	}
	u.act.redundant[reason].Add(1)
	u.repeated.Add(1)
	d.redundant.observe(key, r.again.Add(1), o, f, second)
}

// take makes the slot that of another query.
func (r *repeat) take(key, now uint64) {
	r.key.Store(key)
	r.seen.Store(now)
	if r.again.Load() != 0 {
		r.again.Store(0)
	}
}

// withinPeriod reports whether a query comes less than its Period after the same
// query, age seconds before. The Period is read once.
func (r *repeat) withinPeriod(key uint64, o *classify.Observation, age int64) bool {
	const seconds = 1<<17 - 1 // room for maxPeriod
	if age >= maxPeriod {
		return false
	}
	p := r.period.Load()
	if p&^seconds != key&^seconds {
		q := classify.ReadQuery(o.Target, o.RequestBody)
		p = key&^seconds | uint64(min(q.Period()/time.Second, maxPeriod)) //nolint:gosec // not negative
		r.period.Store(p)
	}
	return age < int64(p&seconds)-1
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

// redundantQueries remembers redundant queries. A query takes the place of one that was
// asked again less often. Look-ups take no lock.
type redundantQueries struct {
	slots [2 * maxRedundant]atomic.Pointer[redundantQuery]

	mu sync.Mutex // held while slots are changed
}

// redundantQuery is a redundant query. Times are Unix seconds.
type redundantQuery struct {
	key         uint64
	as          RedundantQuery // what does not change
	first       int64
	last, count atomic.Int64
	programs    places
}

// slot returns a slot where a query may be stored.
func (t *redundantQueries) slot(key uint64, i int) *atomic.Pointer[redundantQuery] {
	return &t.slots[(key/maxRepeats+uint64(i))%uint64(len(t.slots))] //nolint:gosec // not negative
}

// observe records a redundant call with its key, which was asked again n times while
// it was one of the last queries.
func (t *redundantQueries) observe(key uint64, n uint32, o *classify.Observation, f found, second int64) {
	least := uint32(math.MaxUint32)
	var q *redundantQuery
	for i := range tableProbes {
		known := t.slot(key, i).Load()
		if known == nil {
			least = 0
		} else if known.key == key {
			q = known
			break
		} else {
			least = min(least, uint32(known.count.Load())) //nolint:gosec // only if it is large, which is fine
		}
	}
	if q == nil {
		if n <= least {
			return
		}
		q = t.place(key, n, o, f, second)
	}
	q.count.Add(1)
	if q.last.Load() != second {
		q.last.Store(second)
	}
	if f.use.program != "" {
		q.programs.add(f.use.program)
	}
}

// place gives a query the place of the one that was asked again least often.
func (t *redundantQueries) place(key uint64, n uint32, o *classify.Observation, f found, second int64) *redundantQuery {
	asked := classify.ReadQuery(o.Target, o.RequestBody)
	q := &redundantQuery{key: key, first: second, as: RedundantQuery{
		Service: classify.Scrub(f.usage.service), Action: classify.Scrub(f.usage.action), Version: classify.Scrub(f.usage.version),
		Query: asked.Name(), Credential: f.usage.credential,
	}}
	q.count.Store(int64(n) - 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.slot(key, 0)
	for i := range tableProbes {
		slot := t.slot(key, i)
		known := slot.Load()
		if known != nil && known.key == key {
			return known // another goroutine was faster
		}
		if least := at.Load(); least != nil && (known == nil || known.count.Load() < least.count.Load()) {
			at = slot
		}
	}
	at.Store(q)
	return q
}

// list returns the queries that were asked again most often.
func (t *redundantQueries) list() []RedundantQuery {
	all := make(map[uint64]*RedundantQuery)
	for i := range t.slots {
		if q := t.slots[i].Load(); q != nil {
			known := q.as
			known.Programs = q.programs.names()
			known.Sightings = Sightings{time.Unix(q.first, 0).UTC(), time.Unix(q.last.Load(), 0).UTC(), q.count.Load()}
			all[q.key] = &known
		}
	}
	list := sorted(all, func(q *RedundantQuery) (int64, string) { return q.Count, q.Action + q.Version + q.Query + q.Credential })
	return list[:min(len(list), maxRedundant)]
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

// redundant returns the diagnosis of a throttled attempt with the usage u if many calls
// of its action with its credential, which share a limit with it, could have been saved.
func redundant(o *classify.Observation, u *usage) (Diagnosis, bool) {
	if o.Verdict.Category != classify.CategoryThrottled {
		return Diagnosis{}, false
	}
	calls, saved := u.successes.Load(), u.repeated.Load()
	if saved < redundantCalls || 100*saved < redundantPercent*calls {
		return Diagnosis{}, false
	}
	return say(CauseCallsRedundant, Possible,
		classify.Fact{Name: "action", Value: orDash(u.action)},
		classify.Fact{Name: "calls", Value: strconv.FormatUint(calls, 10)},
		classify.Fact{Name: "redundant", Value: strconv.FormatUint(saved, 10)},
		classify.Fact{Name: "share", Value: strconv.FormatUint(100*saved/max(1, calls), 10)}), true
}
