// Package metrics turns observations into Prometheus metrics: ksyun_api_* about
// the vendor's API, ksyun_tap_* about the tap.
//
// Every label is bounded, and so is the number of series of every family: what
// comes after a limit is counted under _other (see MaxSeries), and that it was
// is counted too. Values a request did not tell are "unknown"; the code and the
// status are "none" where the answer had none. Labels spell a code as the
// catalogue does, whatever its case on the wire.
//
// An attempt whose kind was seen before costs no lock and no allocation.
package metrics

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Sink is a place observations go to, as the label sink names it.
type Sink string

// The sinks.
const (
	SinkMetrics Sink = "metrics"
	SinkTraces  Sink = "traces"
	SinkLogs    Sink = "logs"
	SinkJournal Sink = "journal"

	SinkDiagnosis Sink = "diagnosis" // not an output itself: why calls failed is lost
)

// Reason is why an observation did not reach a sink's output, as the label
// reason names it.
type Reason string

// The reasons.
const (
	ReasonQueueFull    Reason = "queue_full"    // more came than the sink could take
	ReasonPanic        Reason = "panic"         // the sink panicked over it
	ReasonSampled      Reason = "sampled"       // one of many alike
	ReasonExportFailed Reason = "export_failed" // the trace backend did not take it
	ReasonWriteFailed  Reason = "write_failed"  // the log's file did not take it
	ReasonShutdown     Reason = "shutdown"      // the program ended first
)

// reasonsOf lists for each sink the reasons it may have; they exist from the
// start with the value 0.
var reasonsOf = map[Sink][]Reason{
	SinkMetrics: {ReasonPanic},
	SinkTraces:  {ReasonQueueFull, ReasonPanic, ReasonExportFailed, ReasonShutdown},
	SinkLogs:    {ReasonQueueFull, ReasonPanic, ReasonSampled, ReasonWriteFailed, ReasonShutdown},
	SinkJournal: {ReasonQueueFull, ReasonPanic, ReasonShutdown},

	SinkDiagnosis: {ReasonPanic},
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

// Options say what the metrics are made of. The zero value will do.
type Options struct {
	// Proxy reads the state of the relay when a scrape asks; nil leaves out the
	// families that need it. It is called from several goroutines.
	Proxy func() ProxyStats
	// CSM does so for the intake of SDK telemetry, Resign for the tap's own
	// address, Path for the checks of the way to the API, and CANotAfter for the end
	// of the CA for interception; nil leaves out their families.
	CSM        func() CSMStats
	Resign     func() ResignStats
	Path       func() PathStats
	PathStages []string // at which a check can fail
	CANotAfter func() time.Time
	// HandshakeReasons are why programs may not go on behind a TLS handshake
	// with the tap: the only values HandshakeFailed knows.
	HandshakeReasons []string
}

// Metrics is the registry of all of the program's metrics. It is safe for
// concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	state    *state

	overflow    *prometheus.CounterVec
	dropped     *prometheus.CounterVec
	proxyErrors map[classify.Fault]prometheus.Counter
	otherFault  prometheus.Counter
	unread      map[classify.Unread]prometheus.Counter
	handshakes  map[string]prometheus.Counter // by reason
	reloadOK    prometheus.Gauge
	reloadTime  prometheus.Gauge
	ignored     *prometheus.GaugeVec

	table    table
	inFlight atomic.Pointer[map[string]prometheus.Gauge] // by service as observed; replaced, never changed

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
	health     map[string]*health // by service label

	attemptsVec    *prometheus.CounterVec
	lastSuccessVec *prometheus.GaugeVec
	sinceVec       *prometheus.GaugeVec

	inFlightVec *prometheus.GaugeVec
	categories  []classify.Category
}

// New returns metrics in a registry of their own.
func New(opts Options) *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		state:       &state{start: time.Now(), proxy: opts.Proxy, csm: opts.CSM, resign: opts.Resign, path: opts.Path, stages: opts.PathStages, expiry: opts.CANotAfter},
		overflow:    famOverflow.counterVec(),
		dropped:     famDropped.counterVec(),
		proxyErrors: make(map[classify.Fault]prometheus.Counter, len(faults)),
		unread:      make(map[classify.Unread]prometheus.Counter),
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
	m.inFlight.Store(&map[string]prometheus.Gauge{})

	requests := famRequests.counterVec()
	failures := famErrors.counterVec()
	partials := famPartial.counterVec()
	lastErrors := famLastError.gaugeVec()
	proxyErrors := famProxyErrors.counterVec()
	unread := famUnread.counterVec()
	for _, reason := range classify.UnreadReasons() {
		m.unread[reason] = unread.WithLabelValues(string(reason))
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: famDuration.Name, Help: famDuration.Help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, famDuration.Labels)
	handshakes := famHandshakeErrors.counterVec()
	m.handshakes = make(map[string]prometheus.Counter, len(opts.HandshakeReasons))
	for _, reason := range opts.HandshakeReasons {
		m.handshakes[reason] = handshakes.WithLabelValues(reason)
	}
	m.requests = newRequestLadder(requests)
	withExemplars := [...]*exemplified{{Collector: failures}, {Collector: durations}}
	m.errors = newErrorLadder(failures, withExemplars[0])
	m.durations = newDurationLadder(durations, withExemplars[1])
	m.partials = newPartialLadder(partials)
	m.lastErrors = newLastErrorLadder(lastErrors)

	m.registry.MustRegister(
		requests, withExemplars[0], withExemplars[1], m.inFlightVec, partials, lastErrors,
		m.attemptsVec, m.lastSuccessVec, m.sinceVec,
		m.overflow, m.dropped, proxyErrors, unread, handshakes, m.reloadOK, m.reloadTime, m.ignored, m.state,
		versioncollector.NewCollector("ksyun_tap"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.preset(proxyErrors)

	m.handler = promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry,
		ErrorHandling:       promhttp.ContinueOnError, // one bad collector must not blind the rest
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 40,
		Timeout:             10 * time.Second,
		CoalesceGather:      true,
	}))
	return m
}

// newValues returns the set of values of a label that has the known ones, and
// room for limit others.
func newValues(label string, limit int, known []string) values {
	v := values{label: label, limit: limit + len(known), seen: make(map[string]string)}
	for _, k := range known {
		v.seen[k] = k
	}
	return v
}

// preset makes the series whose labels are all known beforehand, so that a rate
// over them exists before the first event.
func (m *Metrics) preset(proxyErrors *prometheus.CounterVec) {
	for sink, reasons := range reasonsOf {
		for _, r := range reasons {
			m.dropped.WithLabelValues(string(sink), string(r))
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

// Handler serves the metrics as text, OpenMetrics or protobuf, whichever the
// scraper prefers.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Gatherer gives access to the metrics other than by HTTP.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Begin counts an attempt as in flight until its Observe.
func (m *Metrics) Begin(call *classify.Call) { m.inFlightOf(call.Service).Inc() }

// Observe counts the attempt o. It reads o.Span for exemplars and keeps nothing.
func (m *Metrics) Observe(o *classify.Observation) {
	if o.Fault != classify.FaultNone {
		m.countFault(o.Fault)
	}
	if o.Fault.Refused() {
		return
	}
	m.inFlightOf(o.Call.Service).Dec()
	for _, reason := range [...]classify.Unread{o.Call.Unread, o.Verdict.Unread} {
		if reason == classify.UnreadNone {
			continue
		}
		if c, ok := m.unread[reason]; ok {
			c.Inc()
		}
	}

	s := m.find(o)
	seconds := max(0, o.Duration().Seconds()) // a clock that was set back takes no time away
	s.requests.Inc()
	if s.attempts != nil {
		s.attempts.Inc()
	}
	if proves(o.Verdict.Outcome) {
		s.health.succeeded(o.End)
	}
	failed := o.Verdict.Outcome.Failed()
	if !failed && !o.Span.Exported {
		s.duration.Observe(seconds)
		return
	}

	now := time.Now()
	s.duration.observe(seconds, now, o)
	if !failed {
		return
	}
	s.errors.increment(now, o)
	s.lastError.Set(timestamp(o.End))
	if s.since != nil {
		s.since.Inc()
		s.health.failing.Store(true)
	}
	if s.partial != nil && o.Verdict.FailedItems > 0 {
		s.partial.Add(float64(o.Verdict.FailedItems))
	}
}

// Dropped counts n observations that did not reach sink's output.
func (m *Metrics) Dropped(sink Sink, reason Reason, n int) {
	if n > 0 {
		m.dropped.WithLabelValues(string(sink), string(reason)).Add(float64(n))
	}
}

// DropCounter returns Dropped for one sink, in the shape in which the sinks
// take it.
func (m *Metrics) DropCounter(sink Sink) func(reason string, n int) {
	return func(reason string, n int) { m.Dropped(sink, Reason(reason), n) }
}

// HandshakeFailed counts a program that did not go on behind the TLS handshake
// with the tap.
func (m *Metrics) HandshakeFailed(reason string) {
	if c, ok := m.handshakes[reason]; ok {
		c.Inc()
	}
}

// SetReload tells how the last load of the configuration ended, and when.
func (m *Metrics) SetReload(err error, at time.Time) {
	if err != nil {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.Set(float64(at.Unix()))
}

// SetIgnoredVariables sets which environment variables are ignored. Of a name
// that is given twice, one counts.
func (m *Metrics) SetIgnoredVariables(names []string) {
	m.ignored.Reset()
	for _, name := range names[:min(len(names), maxIgnoredVariables)] {
		m.ignored.WithLabelValues(name).Set(1)
	}
}

// maxIgnoredVariables bounds that family.
const maxIgnoredVariables = 64

// Watch adds the state of queue and journal to the metrics. It replaces what
// was watched before.
func (m *Metrics) Watch(s Sources) { m.state.sources.Store(&s) }

// countFault counts one request that was refused or got no whole answer.
func (m *Metrics) countFault(f classify.Fault) {
	c, ok := m.proxyErrors[f]
	if !ok {
		c = m.otherFault
	}
	c.Inc()
}

// inFlightOf returns the gauge for a service as observed. The same service
// always gets the same gauge: a label that is at its limit stays there.
func (m *Metrics) inFlightOf(service string) prometheus.Gauge {
	if g, ok := (*m.inFlight.Load())[service]; ok {
		return g
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	label, ok := m.services.bound(service, labelUnknown)
	g := m.inFlightVec.WithLabelValues(label)
	m.healthOf(label)
	if !ok {
		return g // not entered: strangers' names would fill the map
	}
	next := maps.Clone(*m.inFlight.Load())
	if service == "" {
		next[""] = g
	} else {
		next[label] = g
	}
	m.inFlight.Store(&next)
	return g
}
