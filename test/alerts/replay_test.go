package alerts

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/test/promcheck"
)

// begin is the time of second 0 of every replay.
var begin = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC) // where synctest begins

func millis(second float64) int64 { return begin.UnixMilli() + int64(second*1000) }

// span is a time in seconds, to exclusive.
type span struct{ from, to float64 }

func (s span) has(second float64) bool { return s.from <= second && second < s.to }

// program is what one tap sees: a program that calls, and when the tap itself
// runs and is scraped.
type program struct {
	instance string
	// calls emits the calls that end within the span, in order.
	calls func(s span, emit func(second float64, k *kind))
	// lives are when the tap's processes run; nil is one from the start to the end.
	lives []span
	// unseen is when Prometheus does not scrape at all; down is when it tries and
	// fails, besides the pauses between lives of a tap with down set.
	unseen []span
	down   []span
	// labels are those of the target besides job and instance.
	labels map[string]string
}

// tap is a program's tap at work: the real exporter, and what Prometheus knows
// of it.
type tap struct {
	program
	job     string
	offset  float64 // of its scrapes within a minute
	life    int     // index of the running or next one
	metrics *metrics.Metrics
	clocks  *diagnosis.Diagnoser // of the programs
	fed     float64              // calls were observed until then
	changed bool                 // since the last scrape
	samples []sample
	series  map[string]*series
}

type series struct {
	ref    storage.SeriesRef
	labels labels.Labels
	seen   int // the last scrape that had it
}

type sample struct {
	series *series
	start  int64 // milliseconds; 0 is unknown
	value  float64
}

// world is a Prometheus with the rules, and what it scrapes.
type world struct {
	t      testing.TB
	db     *tsdb.DB
	engine *promql.Engine
	groups []*promrules.Group
	wanted map[string]bool // metrics that rules name
	taps   []*tap
	starts bool // the taps' start timestamps are stored
	// fired are the times when an alert was firing, by job and alert.
	fired   map[string]map[string][]span
	scrapes int // done
}

// newWorld returns a Prometheus that evaluates the rules as they are installed,
// but for the groups named. With starts it is one with
// created-timestamp-zero-ingestion.
func newWorld(t testing.TB, starts bool, but ...string) *world {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration, opts.MaxBlockDuration = (90 * 24 * time.Hour).Milliseconds(), (90 * 24 * time.Hour).Milliseconds()
	opts.RetentionDuration = 0
	opts.WALSegmentSize = -1 // no log
	opts.EnableSTAsZeroSample = starts
	db, err := tsdb.Open(t.TempDir(), promslog.NewNopLogger(), nil, opts, tsdb.NewDBStats())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.DisableCompactions()
	w := &world{t: t, db: db, starts: starts, wanted: map[string]bool{"up": true}, fired: map[string]map[string][]span{}}
	w.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		Parser: parser.NewParser(parser.Options{}),
	})
	for _, r := range rules.Groups() {
		for _, rule := range r.Rules {
			names, err := promcheck.Metrics(rules.Fill(rule.Expr))
			require.NoError(t, err)
			for _, n := range names {
				w.wanted[n] = true
			}
		}
	}
	text, err := rules.YAML()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	testfile.Write(t, file, text, 0o600)
	manager := promrules.NewManager(&promrules.ManagerOptions{
		AppendableV2: db, Queryable: db, Context: t.Context(), Logger: promslog.NewNopLogger(),
		QueryFunc:  promrules.EngineQueryFunc(w.engine, db),
		NotifyFunc: func(context.Context, string, ...*promrules.Alert) {},
	})
	loaded, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, file)
	require.Empty(t, errs)
	// In the order of the file, as if every group were a moment behind the one
	// before.
	for _, g := range rules.Groups() {
		if slices.Contains(but, g.Name) {
			continue
		}
		w.groups = append(w.groups, loaded[promrules.GroupKey(file, g.Name)])
	}
	return w
}

// add has Prometheus scrape the taps of programs under a job. Offset is when in
// each minute, in seconds.
func (w *world) add(job string, offset float64, programs ...program) {
	for _, p := range programs {
		p.instance = cmp.Or(p.instance, "tap:18180")
		if p.lives == nil {
			p.lives = []span{{0, math.Inf(1)}}
		}
		w.taps = append(w.taps, &tap{program: p, job: job, offset: offset, series: map[string]*series{}})
	}
}

// run replays the minutes from one to another: each has every tap scraped, and
// the rules evaluated at its end.
func (w *world) run(from, to int) {
	for minute := from; minute < to; minute++ {
		app := w.db.AppenderV2(w.t.Context())
		for _, tap := range w.taps {
			w.scrape(app, tap, float64(minute)*60+tap.offset)
		}
		require.NoError(w.t, app.Commit())
		w.evaluate(float64(minute+1) * 60)
	}
}

// evaluate evaluates all rules, and notes which alerts fire.
func (w *world) evaluate(second float64) {
	at := time.UnixMilli(millis(second)).UTC()
	for _, g := range w.groups {
		g.Eval(w.t.Context(), at)
		for _, r := range g.Rules() {
			if err := r.LastError(); err != nil {
				w.t.Fatalf("%s: %v", r.Name(), err)
			}
			alerting, ok := r.(*promrules.AlertingRule)
			if !ok {
				continue
			}
			seen := map[string]bool{}
			for _, a := range alerting.ActiveAlerts() {
				if a.State == promrules.StateFiring {
					seen[a.Labels.Get("job")] = true
				}
			}
			name := r.Name()
			if window := alerting.Labels().Get("window"); window != "" {
				name += "/" + window
			}
			for job := range seen {
				w.note(job, name, second)
			}
		}
	}
}

// note adds a minute to the times an alert fires.
func (w *world) note(job, alert string, second float64) {
	of := w.fired[job]
	if of == nil {
		of = map[string][]span{}
		w.fired[job] = of
	}
	times := of[alert]
	if n := len(times); n > 0 && times[n-1].to == second {
		times[n-1].to = second + 60
		return
	}
	of[alert] = append(times, span{second, second + 60})
}

// scrape scrapes a tap, if it can be.
func (w *world) scrape(app storage.AppenderV2, tap *tap, second float64) {
	for tap.life < len(tap.lives) && tap.lives[tap.life].to <= second {
		tap.feed(tap.lives[tap.life].to)
		tap.life, tap.metrics = tap.life+1, nil
	}
	running := tap.life < len(tap.lives) && tap.lives[tap.life].has(second)
	if running {
		tap.feed(second)
	}
	in := func(s span) bool { return s.has(second) }
	if slices.ContainsFunc(tap.unseen, in) {
		return
	}
	if !running || slices.ContainsFunc(tap.down, in) {
		w.lose(app, tap, second, slices.ContainsFunc(tap.down, in))
		return
	}
	if tap.changed || tap.samples == nil {
		tap.samples, tap.changed = w.gather(tap), false
	}
	w.scrapes++
	for i := range tap.samples {
		s := &tap.samples[i]
		s.series.seen = w.scrapes
		w.append(app, s.series, s.start, millis(second), s.value)
	}
	w.append(app, w.seriesOf(tap, "up", nil), 0, millis(second), 1)
	tap.series[key("up", nil)].seen = w.scrapes
	for _, s := range tap.series { // as Prometheus marks what a scrape no longer has
		if s.seen != w.scrapes && s.seen != 0 {
			w.append(app, s, 0, millis(second), math.Float64frombits(value.StaleNaN))
			s.seen = 0
		}
	}
}

// lose is a scrape that fails, or a target that is gone.
func (w *world) lose(app storage.AppenderV2, tap *tap, second float64, tried bool) {
	up := key("up", nil)
	for k, s := range tap.series {
		if s.seen != 0 && (k != up || !tried) {
			w.append(app, s, 0, millis(second), math.Float64frombits(value.StaleNaN))
			s.seen = 0
		}
	}
	if tried {
		s := w.seriesOf(tap, "up", nil)
		w.append(app, s, 0, millis(second), 0)
		s.seen = 1
	}
}

func (w *world) append(app storage.AppenderV2, s *series, start, at int64, v float64) {
	ref, err := app.Append(s.ref, s.labels, start, at, v, nil, nil, storage.AppendV2Options{})
	if err != nil {
		w.t.Fatalf("%v: %v", s.labels, err)
	}
	s.ref = ref
}

// feed has the tap observe the calls until then.
func (tap *tap) feed(until float64) {
	if tap.life >= len(tap.lives) {
		return
	}
	life := tap.lives[tap.life]
	if tap.metrics == nil {
		tap.metrics, tap.clocks, tap.samples, tap.fed = metrics.New(), diagnosis.New(), nil, life.from
		tap.metrics.SetReload(nil, time.UnixMilli(millis(life.from)))
	}
	if tap.calls != nil && until > tap.fed {
		tap.calls(span{tap.fed, until}, func(second float64, k *kind) {
			o := *k.observation
			o.End = time.UnixMilli(millis(second))
			o.Start = o.End.Add(-50 * time.Millisecond)
			o.FirstByte, o.Date = o.End, o.End.Truncate(time.Second)
			o.Call.SignedAt = o.Start.Add(k.ahead).Truncate(time.Second)
			tap.metrics.Begin(&o.Call)
			tap.metrics.Observe(&o, record.Span{})
			tap.clocks.Observe(&o)
			tap.changed = true
		})
	}
	tap.fed = until
}

// gather reads what the tap serves, as far as rules name it. The start of the
// process, which is that of the test, is the life's.
func (w *world) gather(tap *tap) []sample {
	families, err := tap.metrics.Gatherer().Gather()
	require.NoError(w.t, err)
	var all []sample
	started := float64(millis(tap.lives[tap.life].from)) / 1e3
	all = append(all, sample{w.seriesOf(tap, "process_start_time_seconds", nil), 0, started})
	for _, c := range tap.clocks.Clocks(time.UnixMilli(millis(tap.fed))) {
		client := &dto.LabelPair{Name: new("client"), Value: new(c.Client.String())}
		for name, value := range map[string]time.Duration{
			metrics.ClockSkew.Name: c.Skew.Offset, metrics.ClockUncertainty.Name: c.Skew.Uncertainty,
		} {
			all = append(all, sample{w.seriesOf(tap, name, []*dto.LabelPair{client}), 0, value.Seconds()})
		}
	}
	for _, f := range families {
		name := f.GetName()
		if !w.wanted[name] || name == "process_start_time_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			s := sample{series: w.seriesOf(tap, name, m.GetLabel())}
			switch {
			case m.GetCounter() != nil:
				s.value = m.GetCounter().GetValue()
				if w.starts {
					s.start = m.GetCounter().GetCreatedTimestamp().AsTime().UnixMilli()
				}
			case m.GetGauge() != nil:
				s.value = m.GetGauge().GetValue()
			default:
				w.t.Fatalf("%s is neither counter nor gauge", name)
			}
			all = append(all, s)
		}
	}
	return all
}

// seriesOf returns the series of a tap's metric, as Prometheus labels it.
func (w *world) seriesOf(tap *tap, name string, pairs []*dto.LabelPair) *series {
	k := key(name, pairs)
	s, ok := tap.series[k]
	if !ok {
		b := labels.NewBuilder(labels.FromMap(tap.labels))
		b.Set("__name__", name)
		b.Set("job", tap.job)
		b.Set("instance", tap.instance)
		for _, p := range pairs {
			b.Set(p.GetName(), p.GetValue())
		}
		s = &series{labels: b.Labels()}
		tap.series[k] = s
	}
	return s
}

func key(name string, pairs []*dto.LabelPair) string {
	var b strings.Builder
	b.WriteString(name)
	for _, p := range pairs {
		b.WriteByte(0)
		b.WriteString(p.GetValue())
	}
	return b.String()
}

// query evaluates an expression at a time, and returns the sum of the result.
func (w *world) query(expr string, second float64) float64 {
	w.t.Helper()
	q, err := w.engine.NewInstantQuery(w.t.Context(), w.db, nil, expr, time.UnixMilli(millis(second)))
	require.NoError(w.t, err)
	defer q.Close()
	result := q.Exec(w.t.Context())
	vector, err := result.Vector()
	require.NoError(w.t, err)
	sum := 0.0
	for _, s := range vector {
		sum += s.F
	}
	return sum
}

// kind is a call of one sort, read by the real classifier.
type kind struct {
	observation *classify.Observation
	ahead       time.Duration // the program's clock, of the API's
}

var classifier = classify.New(classify.DefaultCatalog())

// fields is a message head without fields.
type fields struct{}

func (fields) Get(string) []byte { return nil }

func (fields) Fields() iter.Seq2[[]byte, []byte] { return func(func(_, _ []byte) bool) {} }

// request is a call of an action in a region.
func request(host, action string) classify.Call {
	call, _ := classifier.Request(&classify.Request{
		Method: "GET", Target: []byte("/?Action=" + action + "&Version=2010-05-25"), Host: []byte(host), Header: fields{},
	})
	return call
}

// program1 is where calls come from.
var program1 = netip.MustParseAddrPort("192.0.2.9:40000")

const (
	central  = "monitor.api.ksyun.com"
	shanghai = "monitor.cn-shanghai-2.api.ksyun.com"
)

// answered is a call that got a response.
func answered(host, action string, status int, body string) *kind {
	call := request(host, action)
	return &kind{observation: &classify.Observation{
		Call: call, Client: program1, Verdict: classifier.Response(&call, &classify.Response{Status: status, Header: fields{}, Body: []byte(body)}),
	}}
}

// refused is a call answered with an error of the vendor's.
func refused(status int, typ, code string) *kind {
	return answered(central, "GetMetricStatistics", status, fmt.Sprintf(`{"RequestId":"7d4e0d4b-9c0b-4fd1-a2c1-f6f8c1a1f3b2","Error":{"Type":%q,"Code":%q,"Message":"no"}}`, typ, code))
}

const data = `{"RequestId":"7d4e0d4b-9c0b-4fd1-a2c1-f6f8c1a1f3b2","GetMetricStatisticsResult":{"Datapoints":{"member":[]},"Label":"cpu"}}`

// The kinds of calls.
var (
	well        = answered(central, "GetMetricStatistics", 200, data)
	wellThere   = answered(shanghai, "GetMetricStatistics", 200, data)
	deadKey     = refused(403, "Sender", "InvalidClientTokenId")
	throttled   = refused(409, "Sender", "LimitExceeded")
	broken      = refused(500, "Receiver", "InternalFailure")
	bad         = refused(400, "Sender", "InvalidParameterValue")
	skewed      = refused(400, "Sender", "InvalidTimestamp")
	denied      = refused(403, "Sender", "AccessDenied")
	unheardOf   = refused(418, "Sender", "BrandNewError")
	masked      = answered(central, "GetMetricStatistics", 200, `{"RequestId":"7d4e0d4b-9c0b-4fd1-a2c1-f6f8c1a1f3b2","Error":{"Type":"Receiver","Code":"InternalFailure","Message":"no"}}`)
	reset       = unanswered(classify.FaultReset)
	brokenThere = answered(shanghai, "GetMetricStatistics", 503, `{"Error":{"Type":"Receiver","Code":"ServiceUnavailable","Message":"no"}}`)
	inPart      = answered(central, "GetMetricStatisticsBatch", 200, `{"getMetricStatisticsBatchResults":[{"instance":"i","label":"cpu","datapoints":{"member":[]}}],"responseMetadata":{"requestId":"7d4e0d4b-9c0b-4fd1-a2c1-f6f8c1a1f3b2"},"errorMessage":["i-2 something is odd"]}`)
)

// answeredAhead is a call that succeeds, of a program whose clock is wrong.
func answeredAhead(of time.Duration) *kind { return &kind{well.observation, of} }

func unanswered(f classify.Fault) *kind {
	return &kind{observation: &classify.Observation{Call: request(central, "GetMetricStatistics"), Fault: f, Verdict: classifier.Fault(f, 0)}}
}

// TestKindsAreWhatTheySay holds the classifier's view of the kinds against what
// the scenarios take them for.
func TestKindsAreWhatTheySay(t *testing.T) {
	for name, k := range map[string]struct {
		*kind
		outcome, category, blame string
	}{
		"well": {well, "success", "", ""}, "wellThere": {wellThere, "success", "", ""},
		"deadKey": {deadKey, "error", "auth", "credential"}, "throttled": {throttled, "error", "throttled", "quota"},
		"broken": {broken, "error", "server", "provider"}, "brokenThere": {brokenThere, "error", "server", "provider"},
		"bad": {bad, "error", "request", "client"}, "skewed": {skewed, "error", "clock", "credential"},
		"denied": {denied, "error", "permission", "credential"}, "unheardOf": {unheardOf, "error", "unknown", "client"},
		"masked": {masked, "masked", "server", "provider"}, "reset": {reset, "proxy", "network", "network"},
		"inPart": {inPart, "partial", "unknown", "provider"},
	} {
		v := k.observation.Verdict
		if string(v.Outcome) != k.outcome || string(v.Category) != k.category || string(v.Blame) != k.blame || k.observation.Call.Service != "monitor" {
			t.Errorf("%s: %s, %s, %s, service %s; want %s, %s, %s, monitor", name, v.Outcome, v.Category, v.Blame, k.observation.Call.Service, k.outcome, k.category, k.blame)
		}
	}
	if r := shanghaiRegion(); r == "" || r == well.observation.Call.Region {
		t.Errorf("both regions are %q", r)
	}
}

func shanghaiRegion() string { return wellThere.observation.Call.Region }

// alertsOf returns the alerts that fired for a job within a span, sorted.
func (w *world) alertsOf(job string, within span) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(w.fired[job])) {
		if slices.ContainsFunc(w.fired[job][name], func(s span) bool { return s.from < within.to && s.to > within.from }) {
			names = append(names, name)
		}
	}
	return names
}
