package metrics

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// The maximum number of series of a vector before its labels are replaced with
// _other. MaxSeries includes the series that this replacement may add.
const (
	maxRequestSeries    = 2048
	maxErrorSeries      = 1024
	maxErrorCodeSeries  = 256 // folded series that keep the code
	maxDurationSeries   = 256
	maxPartialSeries    = 256
	maxIncompleteSeries = 256
	durationBucketLines = 20 // lines per histogram series: buckets, +Inf, sum, count
)

// series holds the metrics that are updated for one kind of attempt. errors and
// lastError are nil unless the outcome is a failure, partial is nil unless the
// outcome is partial, and attempts is nil unless the attempt counts towards
// availability.
type series struct {
	health    *health
	inFlight  prometheus.Gauge // of the service
	requests  prometheus.Counter
	duration  *durationHistogram
	attempts  prometheus.Counter
	errors    *errorCount
	partial   prometheus.Counter
	lastError prometheus.Gauge
	since     prometheus.Gauge // errors since the last success; nil for an attempt that resets them
	operation record.Operation
}

// kind holds the properties of an attempt that determine its series, as observed.
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

// table maps kinds to their series. Lookups take no lock and do not allocate.
// The table only grows, while Metrics.mu is held. Kinds whose labels were folded
// are never added, so that arbitrary values cannot fill it.
type table struct {
	seed  maphash.Seed
	slots [tableSlots]atomic.Pointer[node]
	size  int // guarded by Metrics.mu
}

const (
	tableSlots = 1024
	tableLimit = 2 * (maxRequestSeries + maxErrorSeries)
)

// node is an entry in the list of a slot. It is immutable once it is reachable.
type node struct {
	kind   kind
	series *series
	next   *node
}

// slot returns the head of the list that k belongs to.
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

// add adds k unless the table is full or contains it. The caller holds Metrics.mu.
func (t *table) add(k kind, s *series) {
	if t.size >= tableLimit || t.find(&k) != nil {
		return
	}
	head := t.slot(&k)
	// The strings are not cloned, so that those of later attempts, which the classifier
	// interns, are the same and need not be compared byte by byte.
	head.Store(&node{kind: k, series: s, next: head.Load()})
	t.size++
}

// ladder assigns the series of one vector to keys. A key gets its own series
// until the first rung is full, and then the series of the key as folded by the
// next rung. The last rung has room for every key it can produce. A ladder is
// not safe for concurrent use.
type ladder[K comparable, S any] struct {
	series map[K]S
	rungs  []rung[K]
	make   func(K) S
}

// rung is one way to fold keys, with the number of series it may still create.
type rung[K any] struct {
	fold func(K) K
	room int
}

// get returns the series for k. It returns false if k was folded.
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

// newLadder returns a ladder whose first rung has room for that many series, which create
// creates, and keeps keys as they are. The other rungs follow it.
func newLadder[K comparable, S any](room int, create func(K) S, rungs ...rung[K]) *ladder[K, S] {
	own := rung[K]{func(k K) K { return k }, room}
	return &ladder[K, S]{make(map[K]S), slices.Insert(rungs, 0, own), create}
}

// The labels of the vectors that need a ladder, in the order of their families.
type (
	requestLabels  struct{ service, action, version, region, outcome, status string }
	errorLabels    struct{ service, action, version, region, code, typ, status, category, blame string }
	durationLabels struct{ service, action, outcome string }
	partialLabels  struct{ service, action string }
	lastLabels     struct{ service, category string }

	incompleteLabels struct{ service, action, reason string }
)

// newRequestLadder returns the ladder for ksyun_api_requests_total.
func newRequestLadder(v *prometheus.CounterVec) *ladder[requestLabels, prometheus.Counter] {
	return newLadder(maxRequestSeries, func(k requestLabels) prometheus.Counter {
		return v.WithLabelValues(k.service, k.action, k.version, k.region, k.outcome, k.status)
	}, rung[requestLabels]{func(k requestLabels) requestLabels {
		return requestLabels{k.service, labelOther, labelOther, labelOther, k.outcome, labelOther}
	}, maxRequestFolds()})
}

// newErrorLadder returns the ladder for ksyun_api_errors_total. It folds the
// labels of the call before the code, and never the service.
func newErrorLadder(v *prometheus.CounterVec, e *exemplified) *ladder[errorLabels, *errorCount] {
	return newLadder(maxErrorSeries, func(k errorLabels) *errorCount {
		return e.errors(v.WithLabelValues(k.service, k.action, k.version, k.region, k.code, k.typ, k.status, k.category, k.blame))
	}, rung[errorLabels]{func(k errorLabels) errorLabels {
		return errorLabels{k.service, labelOther, labelOther, labelOther, k.code, k.typ, labelOther, k.category, k.blame}
	}, maxErrorCodeSeries}, rung[errorLabels]{func(k errorLabels) errorLabels {
		return errorLabels{k.service, labelOther, labelOther, labelOther, labelOther, string(classify.TypeUnknown), labelOther, k.category, k.blame}
	}, maxErrorFolds()})
}

// newDurationLadder returns the ladder for ksyun_api_request_duration_seconds.
func newDurationLadder(v *prometheus.HistogramVec, e *exemplified) *ladder[durationLabels, *durationHistogram] {
	return newLadder(maxDurationSeries, func(k durationLabels) *durationHistogram {
		return e.durations(v.WithLabelValues(k.service, k.action, k.outcome).(prometheus.Histogram))
	}, rung[durationLabels]{func(k durationLabels) durationLabels {
		return durationLabels{k.service, labelOther, k.outcome}
	}, maxRequestFolds()})
}

// newPartialLadder returns the ladder for ksyun_api_partial_failed_items_total.
func newPartialLadder(v *prometheus.CounterVec) *ladder[partialLabels, prometheus.Counter] {
	return newLadder(maxPartialSeries, func(k partialLabels) prometheus.Counter {
		return v.WithLabelValues(k.service, k.action)
	}, rung[partialLabels]{func(k partialLabels) partialLabels {
		return partialLabels{k.service, labelOther}
	}, maxServiceValues})
}

// newIncompleteLadder returns the ladder for ksyun_api_incomplete_results_total.
func newIncompleteLadder(v *prometheus.CounterVec) *ladder[incompleteLabels, prometheus.Counter] {
	return newLadder(maxIncompleteSeries, func(k incompleteLabels) prometheus.Counter {
		return v.WithLabelValues(k.service, k.action, k.reason)
	}, rung[incompleteLabels]{func(k incompleteLabels) incompleteLabels {
		return incompleteLabels{k.service, labelOther, k.reason}
	}, maxIncompleteFolds()})
}

// newLastErrorLadder returns the ladder for
// ksyun_api_last_error_timestamp_seconds. Its labels are already bounded, so
// nothing is folded.
func newLastErrorLadder(v *prometheus.GaugeVec) *ladder[lastLabels, prometheus.Gauge] {
	return newLadder(maxServiceCategories(), func(k lastLabels) prometheus.Gauge {
		return v.WithLabelValues(k.service, k.category)
	})
}

// maxIncompleteFolds is the maximum number of series of incomplete results on the
// last rung: one for each service and reason.
func maxIncompleteFolds() int { return maxServiceValues * (len(diagnosis.HiddenCauses()) + 1) }

// maxServiceValues is the maximum number of values of the label service: the
// documented services, MaxServices others, and two placeholders.
var maxServiceValues = len(knownServices()) + MaxServices + 2

// maxRequestFolds is the maximum number of folded series of requests, and of
// durations: one for each service and outcome.
func maxRequestFolds() int { return maxServiceValues * (len(outcomes) + 1) }

// maxErrorFolds is the maximum number of series of errors on the last rung: one
// for each service, category and blame.
func maxErrorFolds() int {
	return maxServiceValues * len(classify.Categories()) * (len(blames) + 1)
}

// maxServiceCategories is the maximum number of combinations in lastLabels.
func maxServiceCategories() int { return maxServiceValues * len(classify.Categories()) }

// MaxSeries returns the maximum number of series of the families ksyun_api_* in
// one scrape, whatever is sent through ksyun-tap. Each bucket, the sum and the
// count of a histogram are counted as a series.
func MaxSeries() int {
	return maxRequestSeries + maxRequestFolds() +
		maxErrorSeries + maxErrorCodeSeries + maxErrorFolds() +
		maxErrorFolds() + maxServiceValues + // attempts
		durationBucketLines*(maxDurationSeries+maxRequestFolds()) +
		2*maxServiceValues + // in flight, last success
		maxPartialSeries + maxServiceValues +
		maxIncompleteSeries + maxIncompleteFolds() +
		2*maxServiceCategories() + // last error, errors since the last success
		2*MaxClients + // clock skew, its uncertainty
		MaxPrograms
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

// resolve finds or creates the series of k, which was not in the table. The
// caller holds m.mu.
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

	s := series{operation: record.Operation{Service: named(service), Action: named(action)}}
	allOwn := true
	s.requests, ok = m.requests.get(requestLabels{service, action, version, region, outcome, status})
	allOwn = allOwn && ok
	s.duration, ok = m.durations.get(durationLabels{service, action, outcome})
	allOwn = allOwn && ok
	s.health, s.inFlight = m.healthOf(service), m.inFlightVec.WithLabelValues(service)
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

// named returns the label value, or "" if it is a placeholder.
func named(label string) string {
	if label == labelUnknown || label == labelOther {
		return ""
	}
	return label
}

// Failures is the number of failed attempts that have the same labels.
type Failures struct {
	Action, Code, Status string
	Category             classify.Category
	Blame                classify.Blame
	Count                int
}

// Counts reports whether f may include an attempt with the given action and
// code. name is the catalogue's name of the code, or "" if it has none.
func (f *Failures) Counts(action, code, name string) bool {
	return (f.Action == labelOther || strings.EqualFold(f.Action, cmp.Or(action, labelUnknown))) &&
		(f.Code == labelOther || strings.EqualFold(f.Code, cmp.Or(code, labelNone)) || strings.EqualFold(f.Code, name))
}

// Counted returns the number of attempts since New, and the failed ones by label.
func (m *Metrics) Counted() (attempts int, failures []Failures) {
	value := func(c prometheus.Metric) int {
		var read dto.Metric
		if c.Write(&read) != nil {
			return 0
		}
		return int(read.GetCounter().GetValue())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.requests.series {
		attempts += value(c)
	}
	sums := make(map[Failures]int)
	for k, c := range m.errors.series {
		sums[Failures{k.action, k.code, k.status, classify.Category(k.category), classify.Blame(k.blame), 0}] += value(c)
	}
	for f, n := range sums {
		f.Count = n
		failures = append(failures, f)
	}
	return attempts, failures
}

// newTable returns an empty table.
func newTable() table { return table{seed: maphash.MakeSeed()} }

// buckets are the upper bounds of the histogram in seconds: OpenTelemetry's for HTTP,
// and three more for the slow queries of Cloud Monitor.
var buckets = slices.Clip([]float64{
	.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 30, 60,
})
