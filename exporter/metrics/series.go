package metrics

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The most series the vectors that multiply labels may have before they fold
// labels into _other. What a fold may add is counted in MaxSeries.
const (
	maxRequestSeries    = 2048
	maxErrorSeries      = 1024
	maxErrorCodeSeries  = 256 // folded ones that still tell the code
	maxDurationSeries   = 256
	maxPartialSeries    = 256
	durationBucketLines = 20 // lines per histogram series: buckets, +Inf, sum, count
)

// series are the metrics that one kind of attempt touches. errors and lastError
// are nil for an outcome that is no failure, partial for one that is not
// partial, attempts for one that does not count for availability.
type series struct {
	health    *health
	requests  prometheus.Counter
	duration  *durationHistogram
	attempts  prometheus.Counter
	errors    *errorCount
	partial   prometheus.Counter
	lastError prometheus.Gauge
	since     prometheus.Gauge // errors since the last success; nil for an attempt that resets them
}

// kind is everything of an attempt that decides its series, as observed.
type kind struct {
	service, action, version, region string

	code     string
	status   int
	outcome  classify.Outcome
	typ      classify.Type
	category classify.Category
	blame    classify.Blame
}

// kindOf returns the kind of the attempt o.
func kindOf(o *classify.Observation) kind {
	k := kind{
		service: o.Call.Service, action: o.Call.Action, version: o.Call.Version, region: o.Call.Region,
		status: o.Verdict.Status, outcome: o.Verdict.Outcome,
	}
	if k.outcome.Failed() {
		k.code, k.typ, k.category, k.blame = o.Verdict.Code, o.Verdict.Type, o.Verdict.Category, o.Verdict.Blame
	}
	return k
}

// clone returns a copy of k that shares no memory with buffers of others.
func (k kind) clone() kind {
	for _, s := range []*string{&k.service, &k.action, &k.version, &k.region, &k.code} {
		*s = strings.Clone(*s)
	}
	return k
}

// table finds the series of a kind without a lock and without allocating. It
// only grows, and only under the lock of Metrics; kinds whose labels were
// folded are never entered, so that strangers' values cannot fill it.
type table struct {
	seed  maphash.Seed
	slots [tableSlots]atomic.Pointer[node]
	size  int // guarded by Metrics.mu
}

const (
	tableSlots = 1024
	tableLimit = 2 * (maxRequestSeries + maxErrorSeries)
)

// node is one entry of a slot's list. It does not change once it is reachable.
type node struct {
	kind   kind
	series *series
	next   *node
}

// slot returns the head of the list k belongs to.
func (t *table) slot(k *kind) *atomic.Pointer[node] {
	h := maphash.String(t.seed, k.action) + uint64(k.status) //nolint:gosec // wraps around, if at all
	if k.code != "" {
		h ^= maphash.String(t.seed, k.code)
	}
	return &t.slots[h%tableSlots]
}

// find returns the series of k, or nil.
func (t *table) find(k *kind) *series {
	for n := t.slot(k).Load(); n != nil; n = n.next {
		if n.kind == *k {
			return n.series
		}
	}
	return nil
}

// add enters k, unless the table is full or has it. The caller holds the lock.
func (t *table) add(k kind, s *series) {
	if t.size >= tableLimit || t.find(&k) != nil {
		return
	}
	head := t.slot(&k)
	head.Store(&node{kind: k.clone(), series: s, next: head.Load()})
	t.size++
}

// ladder gives out the series of one vector: each key gets its own until there
// is no room, then the series of the key folded by the next rung. The last
// rung has room for all it can be asked for. It is not safe for concurrent use.
type ladder[K comparable, S any] struct {
	series map[K]S
	rungs  []rung[K]
	make   func(K) S
}

// rung is one way to fold keys, and how many series it may yet make.
type rung[K any] struct {
	fold func(K) K
	room int
}

// get returns the series for k, and false where it is a folded one.
func (l *ladder[K, S]) get(k K) (S, bool) {
	for i := range l.rungs {
		r := &l.rungs[i]
		folded := r.fold(k)
		if s, ok := l.series[folded]; ok {
			return s, i == 0
		}
		if r.room == 0 {
			continue
		}
		r.room--
		s := l.make(folded)
		l.series[folded] = s
		return s, i == 0
	}
	panic("metrics: a ladder's last rung has too little room")
}

// same folds nothing.
func same[K any](k K) K { return k }

// The labels of the vectors that multiply, in the order of their families.
type (
	requestLabels  struct{ service, action, version, region, outcome, status string }
	errorLabels    struct{ service, action, version, region, code, typ, status, category, blame string }
	durationLabels struct{ service, action, outcome string }
	partialLabels  struct{ service, action string }
	lastLabels     struct{ service, category string }
)

// newRequestLadder bounds ksyun_api_requests_total.
func newRequestLadder(v *prometheus.CounterVec) *ladder[requestLabels, prometheus.Counter] {
	return &ladder[requestLabels, prometheus.Counter]{
		series: make(map[requestLabels]prometheus.Counter),
		rungs: []rung[requestLabels]{
			{same[requestLabels], maxRequestSeries},
			{func(k requestLabels) requestLabels {
				return requestLabels{k.service, labelOther, labelOther, labelOther, k.outcome, labelOther}
			}, maxRequestFolds()},
		},
		make: func(k requestLabels) prometheus.Counter {
			return v.WithLabelValues(k.service, k.action, k.version, k.region, k.outcome, k.status)
		},
	}
}

// newErrorLadder bounds ksyun_api_errors_total. It gives up the call before it
// gives up the code, and never the service.
func newErrorLadder(v *prometheus.CounterVec, e *exemplified) *ladder[errorLabels, *errorCount] {
	return &ladder[errorLabels, *errorCount]{
		series: make(map[errorLabels]*errorCount),
		rungs: []rung[errorLabels]{
			{same[errorLabels], maxErrorSeries},
			{func(k errorLabels) errorLabels {
				return errorLabels{k.service, labelOther, labelOther, labelOther, k.code, k.typ, labelOther, k.category, k.blame}
			}, maxErrorCodeSeries},
			{func(k errorLabels) errorLabels {
				return errorLabels{
					k.service, labelOther, labelOther, labelOther,
					labelOther, string(classify.TypeUnknown), labelOther, k.category, k.blame,
				}
			}, maxErrorFolds()},
		},
		make: func(k errorLabels) *errorCount {
			return e.errors(v.WithLabelValues(k.service, k.action, k.version, k.region, k.code, k.typ, k.status, k.category, k.blame))
		},
	}
}

// newDurationLadder bounds ksyun_api_request_duration_seconds.
func newDurationLadder(v *prometheus.HistogramVec, e *exemplified) *ladder[durationLabels, *durationHistogram] {
	return &ladder[durationLabels, *durationHistogram]{
		series: make(map[durationLabels]*durationHistogram),
		rungs: []rung[durationLabels]{
			{same[durationLabels], maxDurationSeries},
			{func(k durationLabels) durationLabels {
				return durationLabels{k.service, labelOther, k.outcome}
			}, maxRequestFolds()},
		},
		make: func(k durationLabels) *durationHistogram {
			return e.durations(v.WithLabelValues(k.service, k.action, k.outcome).(prometheus.Histogram))
		},
	}
}

// newPartialLadder bounds ksyun_api_partial_failed_items_total.
func newPartialLadder(v *prometheus.CounterVec) *ladder[partialLabels, prometheus.Counter] {
	return &ladder[partialLabels, prometheus.Counter]{
		series: make(map[partialLabels]prometheus.Counter),
		rungs: []rung[partialLabels]{
			{same[partialLabels], maxPartialSeries},
			{func(k partialLabels) partialLabels { return partialLabels{k.service, labelOther} }, maxServiceValues},
		},
		make: func(k partialLabels) prometheus.Counter { return v.WithLabelValues(k.service, k.action) },
	}
}

// newLastErrorLadder hands out ksyun_api_last_error_timestamp_seconds, whose
// labels are bounded by themselves.
func newLastErrorLadder(v *prometheus.GaugeVec) *ladder[lastLabels, prometheus.Gauge] {
	return &ladder[lastLabels, prometheus.Gauge]{
		series: make(map[lastLabels]prometheus.Gauge),
		rungs:  []rung[lastLabels]{{same[lastLabels], maxServiceCategories()}},
		make:   func(k lastLabels) prometheus.Gauge { return v.WithLabelValues(k.service, k.category) },
	}
}

// maxServiceValues counts the values of a service label: the documented ones,
// others, and the two stand-ins.
var maxServiceValues = len(knownServices()) + MaxServices + 2

// maxRequestFolds is the most that is left of the labels of requests and
// durations where they are folded: services and outcomes.
func maxRequestFolds() int { return maxServiceValues * (len(outcomes) + 1) }

// maxErrorFolds is the most that is left of the labels of errors where they are
// folded furthest.
func maxErrorFolds() int {
	return maxServiceValues * len(classify.Categories()) * (len(blames) + 1)
}

// maxServiceCategories is the product of the labels of lastLabels.
func maxServiceCategories() int { return maxServiceValues * len(classify.Categories()) }

// MaxSeries is the most lines that the families ksyun_api_* can have in one
// scrape's text, whatever is sent through the tap: a histogram's series counts
// for each of its buckets, its sum and its count.
func MaxSeries() int {
	return maxRequestSeries + maxRequestFolds() +
		maxErrorSeries + maxErrorCodeSeries + maxErrorFolds() +
		maxErrorFolds() + maxServiceValues + // attempts
		durationBucketLines*(maxDurationSeries+maxRequestFolds()) +
		2*maxServiceValues + // in flight, last success
		maxPartialSeries + maxServiceValues +
		2*maxServiceCategories() + // last error, errors since the last success
		2*MaxClients // clock skew, its uncertainty
}

// find returns the series of the attempt o.
func (m *Metrics) find(o *classify.Observation) *series {
	k := kindOf(o)
	if s := m.table.find(&k); s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resolve(&k, &o.Verdict)
}

// resolve makes or finds the series of k, which was not in the table. The
// caller holds the lock.
func (m *Metrics) resolve(k *kind, v *classify.Verdict) *series {
	whole := true
	note := func(label string, ok bool) {
		if !ok {
			whole = false
			m.overflow.WithLabelValues(label).Inc()
		}
	}
	bound := func(set *values, s, empty string) string {
		b, ok := set.bound(s, empty)
		note(set.label, ok)
		return b
	}

	service := bound(&m.services, k.service, labelUnknown)
	action := bound(&m.actions, k.action, labelUnknown)
	version := bound(&m.versions, k.version, labelUnknown)
	region := bound(&m.regions, k.region, labelUnknown)
	outcome := oneOf(k.outcome, outcomes)
	status, ok := statusLabel(k.status)
	note(overflowStatus, ok)

	var s series
	allOwn := true
	s.requests, ok = m.requests.get(requestLabels{service, action, version, region, outcome, status})
	allOwn = allOwn && ok
	s.duration, ok = m.durations.get(durationLabels{service, action, outcome})
	allOwn = allOwn && ok
	s.health = m.healthOf(service)
	if k.outcome == classify.OutcomeSuccess {
		s.attempts = s.health.attempts(labelNone, labelNone)
	}
	if k.outcome.Failed() {
		code, known := catalogued(v)
		if !known {
			code = bound(&m.codes, k.code, labelNone)
		}
		category, blame := oneOf(k.category, m.categories), oneOf(k.blame, blames)
		s.attempts = s.health.attempts(category, blame)
		if !proves(k.outcome) {
			s.since = s.health.since[category]
		}
		s.errors, ok = m.errors.get(errorLabels{
			service, action, version, region, code, oneOf(k.typ, types), status, category, blame,
		})
		allOwn = allOwn && ok
		if k.outcome == classify.OutcomePartial {
			s.partial, ok = m.partials.get(partialLabels{service, action})
			allOwn = allOwn && ok
		}
		s.lastError, _ = m.lastErrors.get(lastLabels{service, category})
	}
	note(overflowSeries, allOwn)

	if whole {
		m.table.add(*k, &s)
	}
	return &s
}

// newTable returns an empty table.
func newTable() table { return table{seed: maphash.MakeSeed()} }

// buckets are the classic upper bounds in seconds: OpenTelemetry's for HTTP,
// and three for the slow queries of Cloud Monitor.
var buckets = slices.Clip([]float64{
	.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 30, 60,
})
