// Package metrics turns observations into Prometheus metrics: ksyun_api_* about
// the vendor's API, ksyun_tap_* about the tap.
//
// The values of every label and the series of every family are bounded. Beyond
// a limit, attempts are counted under _other (see MaxSeries) and in
// ksyun_tap_label_overflow_total. A value that the request did not contain is
// "unknown"; the code and the status are "none" if the response had none. Error
// codes are spelled as in the catalogue, whatever their case on the wire.
//
// Observing an attempt whose labels were seen before takes no lock and does not
// allocate.
package metrics

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// Sink is a value of the label sink: an output that observations are sent to.
type Sink string

// The sinks.
const (
	SinkMetrics Sink = "metrics"
	SinkTraces  Sink = "traces"
	SinkLogs    Sink = "logs"
	SinkJournal Sink = "journal"

	SinkEvidence Sink = "evidence"

	SinkDiagnosis Sink = "diagnosis" // not an output; a diagnosis or an event is lost
)

// Reason is a value of the label reason: why an observation did not reach the
// output of a sink.
type Reason string

// The reasons.
const (
	ReasonQueueFull    Reason = "queue_full"    // the sink was too slow
	ReasonPanic        Reason = "panic"         // the sink panicked
	ReasonSampled      Reason = "sampled"       // sampled out among similar observations
	ReasonExportFailed Reason = "export_failed" // the export to the trace backend failed
	ReasonWriteFailed  Reason = "write_failed"  // the write to the log file failed
	ReasonShutdown     Reason = "shutdown"      // the program shut down first
)

// reasonsOf lists the possible reasons for each sink. Their series are
// initialized to 0.
var reasonsOf = map[Sink][]Reason{
	SinkMetrics: {ReasonPanic},
	SinkTraces:  {ReasonQueueFull, ReasonPanic, ReasonExportFailed, ReasonShutdown},
	SinkLogs:    {ReasonQueueFull, ReasonPanic, ReasonSampled, ReasonWriteFailed, ReasonShutdown},
	SinkJournal: {ReasonQueueFull, ReasonPanic, ReasonShutdown},

	SinkEvidence: {ReasonQueueFull, ReasonPanic, ReasonShutdown},

	SinkDiagnosis: {ReasonPanic},
}

// pushReasons lists the possible reasons for each signal of
// ksyun_tap_push_dropped_total. Their series are initialized to 0.
var pushReasons = map[string][]Reason{
	"logs":    {ReasonQueueFull, ReasonExportFailed, ReasonShutdown},
	"metrics": {ReasonExportFailed},
}

// The values of the label of ksyun_tap_label_overflow_total.
const (
	overflowService = "service"
	overflowAction  = "action"
	overflowVersion = "version"
	overflowRegion  = "region"
	overflowCode    = "code"
	overflowStatus  = "status"
	overflowSeries  = "series" // the combination of labels
)

// Metrics holds the registry of all metrics of the program. It is safe for
// concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	overflow    *prometheus.CounterVec
	dropped     *prometheus.CounterVec
	pushDropped *prometheus.CounterVec
	proxyErrors map[classify.Fault]prometheus.Counter
	otherFault  prometheus.Counter
	unread      func(classify.Unread)
	reloadOK    prometheus.Gauge
	reloadTime  prometheus.Gauge
	ignored     *prometheus.GaugeVec

	table    table
	inFlight atomic.Pointer[inFlights] // those seen first come first; the slice is replaced, never modified

	mu         sync.Mutex // guards the fields below
	services   values
	actions    values
	versions   values
	regions    values
	codes      values
	requests   *ladder[requestLabels, prometheus.Counter]
	errors     *ladder[errorLabels, *errorCount]
	durations  *ladder[durationLabels, *durationHistogram]
	partials   *ladder[partialLabels, prometheus.Counter]
	lastErrors *ladder[lastLabels, prometheus.Gauge]
	incomplete *ladder[incompleteLabels, prometheus.Counter]
	health     map[string]*health // by service label

	attemptsVec    *prometheus.CounterVec
	lastSuccessVec *prometheus.GaugeVec
	sinceVec       *prometheus.GaugeVec

	inFlightVec *prometheus.GaugeVec
	categories  []classify.Category
}

// New returns metrics registered with a new registry.
func New() *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		overflow:    famOverflow.counterVec(),
		dropped:     Dropped.counterVec(),
		pushDropped: famPushDropped.counterVec(),
		proxyErrors: make(map[classify.Fault]prometheus.Counter, len(faults)),
		reloadOK:    famReloadOK.gauge(),
		reloadTime:  famReloadTime.gauge(),
		ignored:     famIgnoredVariables.gaugeVec(),
		table:       newTable(),
		services:    newValues(overflowService, MaxServices, knownServices()),
		actions:     newValues(overflowAction, MaxActions, knownActions()),
		versions:    newValues(overflowVersion, MaxVersions, knownVersions()),
		regions:     newValues(overflowRegion, MaxRegions, nil),
		codes:       newValues(overflowCode, MaxUnknownCodes, nil),
		inFlightVec: famInFlight.gaugeVec(),

		health:         make(map[string]*health),
		attemptsVec:    famAttempts.counterVec(),
		lastSuccessVec: famLastSuccess.gaugeVec(),
		sinceVec:       famSinceSuccess.gaugeVec(),

		categories: classify.Categories(),
	}
	m.inFlight.Store(new(inFlights))

	requests := famRequests.counterVec()
	failures := famErrors.counterVec()
	partials := famPartial.counterVec()
	lastErrors := famLastError.gaugeVec()
	incomplete := famIncomplete.counterVec()
	proxyErrors := famProxyErrors.counterVec()
	m.unread = Count(m, Unread, classify.UnreadReasons())
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: famDuration.Name, Help: famDuration.Help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, famDuration.Labels)
	m.requests = newRequestLadder(requests)
	withExemplars := [...]*exemplified{{Collector: failures}, {Collector: durations}}
	m.errors = newErrorLadder(failures, withExemplars[0])
	m.durations = newDurationLadder(durations, withExemplars[1])
	m.partials = newPartialLadder(partials)
	m.lastErrors = newLastErrorLadder(lastErrors)
	m.incomplete = newIncompleteLadder(incomplete)

	m.registry.MustRegister(
		requests, withExemplars[0], withExemplars[1], m.inFlightVec, partials, incomplete, lastErrors,
		m.attemptsVec, m.lastSuccessVec, m.sinceVec,
		m.overflow, m.dropped, m.pushDropped, proxyErrors, m.reloadOK, m.reloadTime, m.ignored,
		versioncollector.NewCollector("ksyun_tap"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.preset(proxyErrors)

	m.handler = promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry,
		ErrorHandling:       promhttp.ContinueOnError, // a failing collector must not hide the other metrics
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 40,
		Timeout:             10 * time.Second, // responses are buffered for it, so that a slow client keeps no values that others get
		CoalesceGather:      true,
	}))
	return m
}

// newValues returns a set of label values that contains the known ones and has
// room for limit others.
func newValues(label string, limit int, known []string) values {
	v := values{label: label, limit: limit + len(known), seen: make(map[string]string)}
	for _, k := range known {
		v.seen[k] = k
	}
	return v
}

// preset creates the series whose label values are known in advance, so that
// rate() works before the first event.
func (m *Metrics) preset(proxyErrors *prometheus.CounterVec) {
	for sink, reasons := range reasonsOf {
		for _, r := range reasons {
			m.dropped.WithLabelValues(string(sink), string(r))
		}
	}
	for signal, reasons := range pushReasons {
		for _, r := range reasons {
			m.pushDropped.WithLabelValues(signal, string(r))
		}
	}
	for _, label := range []string{
		overflowService, overflowAction, overflowVersion, overflowRegion,
		overflowCode, overflowStatus, overflowSeries,
	} {
		m.overflow.WithLabelValues(label)
	}
	for _, f := range faults {
		m.proxyErrors[f] = proxyErrors.WithLabelValues(string(f))
	}
	m.otherFault = proxyErrors.WithLabelValues(labelOther)
	service, _ := m.services.bound(presetService, labelUnknown)
	m.healthOf(service)
}

// Register registers collectors. It panics if a family is already registered.
func (m *Metrics) Register(collectors ...prometheus.Collector) {
	m.registry.MustRegister(collectors...)
}

// Handler returns the handler for /metrics. It serves text, OpenMetrics or
// protobuf, as negotiated with the scraper.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Gatherer returns the gatherer of all metrics.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Begin counts an attempt as in flight until Observe is called for it.
func (m *Metrics) Begin(call *classify.Call) { m.inFlightOf(call.Service).Inc() }

// Observe counts the attempt o, whose span is used for exemplars. It returns the
// operation by which o is counted, or the zero value if o is a refused request,
// which is not an attempt. It does not retain o.
func (m *Metrics) Observe(o *classify.Observation, span record.Span) record.Operation {
	if o.Fault != classify.FaultNone {
		m.countFault(o.Fault)
	}
	if o.Fault.Refused() {
		return record.Operation{}
	}
	for _, reason := range [...]classify.Unread{o.Call.Unread, o.Verdict.Unread} {
		if reason != classify.UnreadNone {
			m.unread(reason)
		}
	}

	s := m.find(o)
	s.inFlight.Dec()
	seconds := max(0, o.Duration().Seconds()) // the clock may have been set back
	s.requests.Inc()
	if s.attempts != nil {
		s.attempts.Inc()
	}
	if proves(o.Verdict.Outcome) {
		s.health.succeeded(o.End)
	}
	failed := o.Verdict.Outcome.Failed()
	if !failed && !span.Exported {
		s.duration.Observe(seconds)
		return s.operation
	}

	x := exemplar{at: o.End, value: seconds, span: span, id: o.Verdict.RequestID}
	s.duration.observe(&x)
	if !failed {
		return s.operation
	}
	x.value = 1
	s.errors.increment(&x)
	s.lastError.Set(timestamp(o.End))
	if s.since != nil {
		s.since.Inc()
		s.health.failing.Store(true)
	}
	if s.partial != nil && o.Verdict.FailedItems > 0 {
		s.partial.Add(float64(o.Verdict.FailedItems))
	}
	return s.operation
}

// Operation returns the operation that Observe returned for the attempt o.
func (m *Metrics) Operation(o *classify.Observation) record.Operation { return m.find(o).operation }

// Incomplete counts the successful attempt o, of which the response has no data, or
// not all of it, because of reason.
func (m *Metrics) Incomplete(o *classify.Observation, reason diagnosis.Cause) {
	m.mu.Lock()
	defer m.mu.Unlock()
	service, known := m.services.bound(o.Call.Service, labelUnknown)
	if !known {
		m.overflow.WithLabelValues(overflowService).Inc()
	}
	action, known := m.actions.bound(o.Call.Action, labelUnknown)
	if !known {
		m.overflow.WithLabelValues(overflowAction).Inc()
	}
	c, own := m.incomplete.get(incompleteLabels{service, action, oneOf(reason, diagnosis.HiddenCauses())})
	if !own {
		m.overflow.WithLabelValues(overflowSeries).Inc()
	}
	c.Inc()
}

// Dropped counts n observations that did not reach the output of sink.
func (m *Metrics) Dropped(sink Sink, reason Reason, n int) {
	if n > 0 {
		m.dropped.WithLabelValues(string(sink), string(reason)).Add(float64(n))
	}
}

// PushDropped counts n log records or exports of metrics that did not reach the
// OpenTelemetry backend. signal is "logs" or "metrics".
func (m *Metrics) PushDropped(signal, reason string, n int) {
	m.pushDropped.WithLabelValues(signal, reason).Add(float64(n))
}

// DropCounter returns Dropped for sink, in the form that the configurations of the
// sinks expect. It ignores reasons that the sink does not have.
func (m *Metrics) DropCounter(sink Sink) func(reason string, n int) {
	counters := make(map[string]prometheus.Counter)
	for _, r := range reasonsOf[sink] {
		counters[string(r)] = m.dropped.WithLabelValues(string(sink), string(r))
	}
	return func(reason string, n int) {
		if c, ok := counters[reason]; ok && n > 0 {
			c.Add(float64(n))
		}
	}
}

// Count registers the family f, which has one label with the given values, and
// returns a function that increments the series of a value. The function
// ignores other values.
func Count[V ~string](m *Metrics, f Family, values []V) func(V) {
	vec := f.counterVec()
	m.Register(vec)
	series := make(map[V]prometheus.Counter, len(values))
	for _, v := range values {
		series[v] = vec.WithLabelValues(string(v))
	}
	return func(v V) {
		if c, ok := series[v]; ok {
			c.Inc()
		}
	}
}

// SetReload records the result and the time of the last configuration load.
func (m *Metrics) SetReload(err error, at time.Time) {
	if err != nil {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.Set(float64(at.Unix()))
}

// SetIgnoredVariables sets the environment variables that are reported as
// ignored. Duplicate names are reported once.
func (m *Metrics) SetIgnoredVariables(names []string) {
	m.ignored.Reset()
	for _, name := range names[:min(len(names), maxIgnoredVariables)] {
		m.ignored.WithLabelValues(name).Set(1)
	}
}

// maxIgnoredVariables is the maximum number of series of famIgnoredVariables.
const maxIgnoredVariables = 64

// countFault counts a request that was refused or got no complete response.
func (m *Metrics) countFault(f classify.Fault) {
	c, ok := m.proxyErrors[f]
	if !ok {
		c = m.otherFault
	}
	c.Inc()
}

// inFlight is the number of attempts in flight of a service as observed.
type inFlight struct {
	service string
	gauge   prometheus.Gauge
}

type inFlights []inFlight

// find returns the gauge of a service, or nil.
func (all inFlights) find(service string) prometheus.Gauge {
	for i := range all {
		if all[i].service == service {
			return all[i].gauge
		}
	}
	return nil
}

// inFlightOf returns the gauge for a service as observed. A service always gets
// the same gauge, because a label that has reached its limit never grows again.
func (m *Metrics) inFlightOf(service string) prometheus.Gauge {
	if g := m.inFlight.Load().find(service); g != nil {
		return g
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	label, ok := m.services.bound(service, labelUnknown)
	g := m.inFlightVec.WithLabelValues(label)
	m.healthOf(label)
	if !ok {
		return g // not added: arbitrary names would fill it
	}
	if known := m.inFlight.Load(); known.find(service) == nil {
		next := append(slices.Clip(*known), inFlight{service, g})
		m.inFlight.Store(&next)
	}
	return g
}
