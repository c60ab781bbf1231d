package diagnosis

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

const (
	maxRepeats = 1 << slotBits // number of slots for recent queries
	slotBits   = 12
	// repeatSeconds is how long the result of a query could have been used again, if
	// its Period is not longer. The data of Cloud Monitor has a period of at least a
	// minute. One second less leaves out programs that ask once per period, whose
	// responses take different times.
	repeatSeconds = 59
	maxPeriod     = 24 * 60 * 60 // longest Period that is considered, in seconds
	maxRedundant  = 64           // number of redundant queries remembered
	// The minimum share, in percent, and number of redundant calls for a diagnosis.
	redundantPercent = 10
	minRedundant     = 30
)

// RedundantReason is why a call could have been saved.
type RedundantReason string

// The reasons.
const (
	RedundantOtherClient RedundantReason = "other_client" // another program had asked the same
	RedundantTooOften    RedundantReason = "too_often"    // the program itself had
)

var redundantReasons = [...]RedundantReason{RedundantOtherClient, RedundantTooOften}

// repeats remembers the last successful queries, by the lower bits of their keys: what was
// asked, with which credential. A query whose slot is taken by another one is forgotten, so
// that repeats may be missed. The fields are separate, so that a success whose query is new
// touches only the first one.
type repeats struct {
	last   [maxRepeats]atomic.Uint64 // the query, when it was asked and by which program: see pack
	period [maxRepeats]atomic.Uint64 // its Period in seconds, if the upper bits are those of the key
	again  [maxRepeats]atomic.Uint32 // how often it was asked again, in the lower half, if the upper half is that of the key
}

// The parts of a value of pack. Two queries have the same tag and slot by accident in one
// of 10^12 cases.
const (
	tagShift    = 36 // of 28 bits of the key
	secondShift = 19 // of 17 bits of the time in seconds: a day and a half
	secondMask  = 1<<17 - 1
	programMask = 1<<19 - 1
)

// pack returns the key of a query, a time and the program of a use as one value.
func pack(key uint64, second int64, u *use) uint64 {
	return key>>slotBits<<tagShift | uint64(second)&secondMask<<secondShift | u.address&programMask //nolint:gosec // positive
}

// since returns the time from last to now in seconds, which are values of pack.
func since(last, now uint64) int64 { return int64((now>>secondShift - last>>secondShift) & secondMask) }

// observeRepeat learns from a successful attempt, and counts it if its result was
// known already.
func (d *Diagnoser) observeRepeat(o *classify.Observation, f found, second int64) {
	u := f.use
	if !u.reads || u == &d.noUse || o.Call.Fingerprint == 0 || o.Call.Unread != classify.UnreadNone ||
		o.Verdict.Outcome != classify.OutcomeSuccess || o.Source == classify.SourceCSM {
		return
	}
	key := o.Call.Fingerprint ^ f.usage.hash
	slot := &d.repeats.last[key%maxRepeats]
	now, last := pack(key, second, u), slot.Load()
	if other := (last^now)>>tagShift != 0; other {
		slot.Store(now)
		return
	}
	if age := since(last, now); age >= repeatSeconds && !d.repeats.withinPeriod(key, o, age) {
		slot.Store(now)
		return
	}
	reason := 1
	if (last^now)&programMask != 0 {
		reason = 0
	}
	u.redundant[reason].Add(1)
	d.redundant.observe(key, &d.repeats, o, f, second)
}

// withinPeriod reports whether a query comes less than its Period after the same
// query, age seconds before. The Period is read once.
func (r *repeats) withinPeriod(key uint64, o *classify.Observation, age int64) bool {
	const seconds = 1<<17 - 1 // room for maxPeriod
	if age >= maxPeriod {
		return false
	}
	slot := &r.period[key%maxRepeats]
	p := slot.Load()
	if p&^seconds != key&^seconds {
		q := classify.ReadQuery(o.Target, o.RequestBody)
		p = key&^seconds | uint64(min(q.Period()/time.Second, maxPeriod)) //nolint:gosec // not negative
		slot.Store(p)
	}
	return age < int64(p&seconds)-1
}

// count counts that a query was asked again, and returns how often it was.
func (r *repeats) count(key uint64) uint32 {
	const most = 1<<16 - 1
	slot := &r.again[key%maxRepeats]
	n := slot.Load()
	if tag := uint32(key>>32) &^ most; n&^most != tag { // of another query
		n = tag
	}
	if n&most < most {
		n++
	}
	slot.Store(n)
	return n & most
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

// observe records a redundant call with its key. r counts those of queries that are not
// remembered here.
func (t *redundantQueries) observe(key uint64, r *repeats, o *classify.Observation, f found, second int64) {
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
		n := r.count(key)
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
		Service: redact.Text(f.usage.service), Action: redact.Text(f.usage.action), Version: redact.Text(f.usage.version),
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

// redundantCalls returns the diagnosis of a throttled attempt with the usage u if many calls
// of its action with its credential, which share a limit with it, could have been saved.
func (d *Diagnoser) redundantCalls(o *classify.Observation, u *usage) (Diagnosis, bool) {
	if o.Verdict.Category != classify.CategoryThrottled {
		return Diagnosis{}, false
	}
	calls, saved := d.successesOf(u, o.End.Unix())
	if saved < minRedundant || 100*saved < redundantPercent*calls {
		return Diagnosis{}, false
	}
	return say(CauseCallsRedundant, Possible,
		Fact{Name: "action", Value: orDash(u.action)},
		Fact{Name: "calls", Value: strconv.FormatUint(calls, 10)},
		Fact{Name: "redundant", Value: strconv.FormatUint(saved, 10)},
		Fact{Name: "share", Value: strconv.FormatUint(100*saved/max(1, calls), 10)}), true
}

// successesOf returns the number of successes with the usage u, and how many of them were
// redundant. They are counted once a second.
func (d *Diagnoser) successesOf(u *usage, second int64) (all, redundant uint64) {
	c := u.successes.Load()
	if c == nil || c.second != second {
		c = &successes{second: second}
		for e := range d.uses.all {
			if n := &e.value; &n.usage.Load().value == u {
				c.all += uint64(n.count() - n.failed.Load()) //nolint:gosec // not negative
				for i := range n.redundant {
					c.redundant += n.redundant[i].Load()
				}
			}
		}
		u.successes.Store(c)
	}
	return c.all, c.redundant
}

// successes are the numbers of successes with a usage, as counted at the given second.
type successes struct {
	second         int64
	all, redundant uint64
}
