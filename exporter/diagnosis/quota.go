package diagnosis

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	quotaBuckets  = 12  // number of buckets of a sliding window
	quotaBucket   = 5   // length of a bucket, in seconds
	quotaPace     = 3   // number of buckets that the present pace is measured over
	quotaShared   = 0.5 // used share below which a throttled call is blamed on others
	quotaAccuracy = time.Second
	throttlings   = 8 // number of usages whose last diagnosis is kept
)

// QuotaLimit is the limit on the rate of an action.
type QuotaLimit struct {
	Service   string // "" for any
	Action    string
	Version   string // "" for all versions
	PerMinute int    // calls per minute and credential; 0 for no limit
}

// DocumentedLimits returns the limits that the vendor documents.
func DocumentedLimits() []QuotaLimit {
	var all []QuotaLimit
	for _, a := range classify.KnownActions() {
		if a.PerMinute > 0 {
			all = append(all, QuotaLimit{a.Service, a.Name, a.Version, a.PerMinute})
		}
	}
	return all
}

// rate counts the attempts of the last minute. Each bucket holds its time, in
// buckets since the epoch, in the upper half and a count in the lower half.
type rate [quotaBuckets]atomic.Uint64

// add counts an attempt.
func (w *rate) add(second int64) {
	at := uint64(second) / quotaBucket //nolint:gosec // positive
	b := &w[at%quotaBuckets]
	for {
		v := b.Load()
		if v>>32 == at&math.MaxUint32 {
			b.Add(1)
			return
		}
		if b.CompareAndSwap(v, at<<32|1) {
			return
		}
	}
}

// counts returns the counts of the buckets of the last minute, the newest first.
func (w *rate) counts(second int64) (n [quotaBuckets]int) {
	at := uint64(second) / quotaBucket //nolint:gosec // positive
	for i := range uint64(quotaBuckets) {
		if v := w[(at-i)%quotaBuckets].Load(); v>>32 == (at-i)&math.MaxUint32 {
			n[i] = int(v & math.MaxUint32)
		}
	}
	return n
}

// used returns the number of attempts in the last minute.
func (w *rate) used(second int64) int {
	sum := 0
	for _, n := range w.counts(second) {
		sum += n
	}
	return sum
}

// exhausted returns the time until the attempts of a minute reach the limit, if
// those of the last buckets continue at the same pace. It returns false if they
// never do.
func (w *rate) exhausted(second int64, limit int) (time.Duration, bool) {
	n := w.counts(second)
	used := 0
	for _, k := range n {
		used += k
	}
	if used >= limit {
		return 0, true
	}
	recent := 0
	for _, k := range n[1 : 1+quotaPace] { // the newest one is not complete
		recent += k
	}
	pace := float64(recent) / quotaPace
	left := float64(limit - used)
	for i := range quotaBuckets {
		left += float64(n[quotaBuckets-1-i]) - pace // the oldest one leaves the window
		if left <= 0 {
			return time.Duration((float64(i+1)*quotaBucket + left/pace*quotaBucket) * float64(time.Second)).Round(quotaAccuracy), true
		}
	}
	return 0, false
}

// observeQuota counts an attempt against the limit of its action.
func (d *Diagnoser) observeQuota(o *classify.Observation, u *usage, second int64) {
	if u.limit == 0 {
		return
	}
	u.window.add(second)
	if last := u.warned.Load(); second-last >= noticePause && u.checked.Load() != second && u.checked.Swap(second) != second { // once a second at most
		if used := u.window.used(second); float64(used) >= limitWarn*float64(u.limit) && u.warned.CompareAndSwap(last, second) {
			facts := u.quotaFacts(used)
			d.report(o, CauseQuotaNear, SeverityWarn, facts[:]...)
		}
	}
}

// quotaFacts are the facts on the use of a limit.
func (u *usage) quotaFacts(used int) [3]Fact {
	return [...]Fact{
		{Name: "action", Value: orDash(u.action)},
		{Name: "used", Value: strconv.Itoa(used)},
		{Name: "limit", Value: strconv.Itoa(u.limit)},
	}
}

// throttling is the diagnosis of throttled attempts of an action, as it was when so many attempts
// had used that limit, from which the cause follows. Those that follow one another fast have the
// same one, which they share.
type throttling struct {
	action      string
	used, limit int
	diagnoses   [1]Diagnosis
}

// throttled returns the diagnosis of a throttled attempt with the usage u: whether
// this tap's calls reach the limit. In the first minute of a key, which other taps may
// have relayed the calls of, others are not likely to be the cause. last is where the
// diagnosis of the last attempt with u is, unless another usage has the same place.
func throttled(o *classify.Observation, u *usage, last *atomic.Pointer[throttling]) []Diagnosis {
	if o.Verdict.Category != classify.CategoryThrottled || u.limit == 0 {
		return nil
	}
	used := u.window.used(o.End.Unix())
	cause, sure := CauseQuotaExceeded, Likely
	switch share := float64(used) / float64(u.limit); {
	case share >= 1:
		sure = Certain
	case share < quotaShared:
		if cause = CauseQuotaShared; o.End.Unix()-u.key.first < quotaBuckets*quotaBucket {
			sure = Possible
		}
	}
	t := last.Load()
	if t == nil || t.used != used || t.limit != u.limit || t.action != u.action || t.diagnoses[0].Certainty != sure {
		facts := u.quotaFacts(used)
		t = &throttling{u.action, used, u.limit, [1]Diagnosis{say(cause, sure, facts[:]...)}}
		last.Store(t)
	}
	return t.diagnoses[:]
}

// Quota is the use of the limit of an action by one credential.
type Quota struct {
	Credential, Action, Version string
	Limit                       int           // calls per minute
	Used                        float64       // share of it that was used in the last minute; may be above 1
	Exhausted                   time.Duration // until the limit is reached at the present pace
	Approaching                 bool          // whether it will be, within a minute
}

// Quotas returns the use of the limits by credential and action.
func (d *Diagnoser) Quotas(now time.Time) []Quota {
	d.Flush()
	var list []Quota
	second := now.Unix()
	for e := range d.usages.all {
		u := &e.value
		if u.limit == 0 || u.key == &d.keys.other {
			continue
		}
		q := Quota{Credential: u.credential, Action: u.action, Version: u.version, Limit: u.limit}
		q.Used = float64(u.window.used(second)) / float64(u.limit)
		q.Exhausted, q.Approaching = u.window.exhausted(second, u.limit)
		same := slices.IndexFunc(list, func(l Quota) bool {
			return l.Credential == q.Credential && l.Action == q.Action && l.Version == q.Version // of another service
		})
		if same < 0 {
			list = append(list, q)
		} else {
			list[same].Used += q.Used
		}
	}
	slices.SortFunc(list, func(a, b Quota) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Credential, b.Credential))
	})
	return list
}

// Limits returns the limits that calls are counted against.
func (d *Diagnoser) Limits() []QuotaLimit { return d.limits }

// SetLimits sets the limits, those of a version before those of all versions. It
// must be called before the first Observe.
func (d *Diagnoser) SetLimits(limits []QuotaLimit) { d.limits = limits }

// Override returns the documented limits with those of more replaced or added. A
// limit for all versions replaces those of single versions.
func Override(more []QuotaLimit) []QuotaLimit {
	all := DocumentedLimits()
	for _, m := range more {
		all = slices.DeleteFunc(all, func(l QuotaLimit) bool {
			return l.Action == m.Action && (l.Version == m.Version || m.Version == "")
		})
		all = append(all, m)
	}
	return all
}

// limitOf returns the limit of an action; 0 if there is none.
func (d *Diagnoser) limitOf(service, action, version string) int {
	limit := 0
	for _, l := range d.limits {
		if l.Service != "" && service != "" && l.Service != service {
			continue
		}
		if l.Action == action && l.Version == version {
			return l.PerMinute
		}
		if l.Action == action && l.Version == "" {
			limit = l.PerMinute
		}
	}
	return limit
}
