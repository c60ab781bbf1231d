package day

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// epoch is the start of the day.
var epoch = time.Date(2026, time.November, 23, 0, 0, 0, 0, time.UTC)

// program is one program that calls the API.
type program struct {
	addr   string // address
	agent  string
	key    cloudmonitor.Credential
	skew   time.Duration // of its clock
	region string        // "" means cn-beijing-6
	sign   string        // "v4" (also ""), "presigned", "simple", "none"
	accept string        // "" means application/json
	scheme string        // "" means http
}

// attempt is one attempt of a program, and what is true of it.
type attempt struct {
	name    string // of the case of the scenario; "" if it has only one
	at      time.Time
	by      *program
	host    string // "" means monitor.api.ksyun.com
	service string // of the credential scope; "" means that of the host
	action  string
	version string
	params  url.Values
	body    string
	do      cloudmonitor.Directive
	took    time.Duration       // 0 means some tens of milliseconds
	signed  time.Duration       // how long before it is sent the request is signed
	wire    func(string) []byte // changes the request on the way, or makes one; nil for none
	reply   *reply              // the response instead of that of the gateway
	fault   classify.Fault
	status  int // received before the fault, or 0

	must     []diagnosis.Cause // must be given
	may      []diagnosis.Cause // neither required nor wrong
	want     classify.Outcome  // what the attempt must be classified as; "" means success
	category classify.Category // that it must be classified as; "" for any

	lasts  time.Duration         // how long the result of a success is up to date; 0 means a minute
	retry  bool                  // the attempt is a retry of the previous one of the program
	result diagnosis.RetryResult // of the retry; "" means success
}

// reply is a response that the simulated gateway does not make.
type reply struct {
	status int
	body   string
	kind   string // Content-Type; "" means JSON
}

// event is an event that must be noticed, once in the time from from to to.
type event struct {
	cause    diagnosis.Cause
	key      string // the name of the credential
	from, to time.Time
}

// step is something that happens at a time.
type step struct {
	at  time.Time
	run func(*world)
}

// plan is what happens in a day.
type plan struct {
	scenario string
	start    time.Time // of the scenario that is planned
	number   int       // of the scenario, which makes its names unique
	programs int
	rand     *rand.Rand
	steps    []step
	keys     []cloudmonitor.Credential // that the gateway knows at the start
	events   []event
	attempts int
}

// scenario is a row of the tables of scenarios.
type scenario struct {
	name string
	plan func(p *plan)
}

// add plans the scenario to begin at start.
func (p *plan) add(s scenario, start time.Time) {
	p.scenario, p.start, p.programs = s.name, start, 0
	p.number++
	s.plan(p)
}

// credential returns a new credential that the gateway knows.
func (p *plan) credential() cloudmonitor.Credential {
	c := p.unknown()
	p.keys = append(p.keys, c)
	return c
}

// temporary returns a new credential that the gateway knows, with a security token.
func (p *plan) temporary(token string) cloudmonitor.Credential {
	c := p.credential()
	c.Token = token
	p.keys[len(p.keys)-1] = c
	return c
}

// unknown returns a new credential that the gateway does not know.
func (p *plan) unknown() cloudmonitor.Credential {
	p.programs++
	return cloudmonitor.Credential{AccessKey: fmt.Sprintf("AKLTday%05dkey%05d", p.number, p.programs), SecretKey: fmt.Sprintf("secret-%d-%d", p.number, p.programs)}
}

// program returns a new program, with an address of its own, that uses the key.
func (p *plan) program(key cloudmonitor.Credential) *program {
	p.programs++
	return &program{addr: fmt.Sprintf("10.%d.%d.%d", p.number>>8, p.number&255, p.programs), agent: "program/1.0", key: key}
}

// shared returns a new program that uses one of the keys that many programs use.
func (p *plan) shared() *program { return p.program(sharedKeys[p.number%len(sharedKeys)]) }

// sharedKeys are used by the programs of many scenarios.
var sharedKeys = func() (all []cloudmonitor.Credential) {
	for i := range 4 {
		all = append(all, cloudmonitor.Credential{AccessKey: fmt.Sprintf("AKLTshared%010d", i), SecretKey: fmt.Sprintf("shared-%d", i)})
	}
	return all
}()

// send plans an attempt at a time after the start of the scenario.
func (p *plan) send(after time.Duration, a attempt) {
	p.attempts++
	a.at = p.start.Add(after)
	if a.took == 0 {
		a.took = 15*time.Millisecond + time.Duration(p.rand.Int64N(int64(60*time.Millisecond)))
	}
	name := cmp.Or(a.name, p.scenario)
	// An attempt is observed when it ends.
	p.steps = append(p.steps, step{a.at.Add(a.took), func(w *world) { w.attempt(name, &a) }})
}

// every plans n attempts at a fixed interval, the first one after a pause. Programs
// do not start at whole seconds.
func (p *plan) every(after, interval time.Duration, n int, each func(i int, at time.Time) attempt) {
	phase := time.Duration(p.rand.Int64N(int64(min(interval, time.Second))))
	for i := range n {
		t := after + phase + time.Duration(i)*interval
		p.send(t, each(i, p.start.Add(t)))
	}
}

// change plans a change of the gateway.
func (p *plan) change(after time.Duration, f func(*cloudmonitor.Server)) {
	p.steps = append(p.steps, step{p.start.Add(after), func(w *world) { f(w.gateway) }})
}

// probe plans a look at a summary of the Diagnoser. f returns what is wrong, or "".
func (p *plan) probe(after time.Duration, name string, f func(d *diagnosis.Diagnoser, now time.Time) string) {
	at, scenario := p.start.Add(after), p.scenario
	p.steps = append(p.steps, step{at, func(w *world) {
		wrong := f(w.d, at)
		w.score.probe(name, wrong == "")
		if wrong != "" {
			w.score.miss(scenario, name, wrong)
		}
	}})
}

// event plans that an event must be noticed.
func (p *plan) event(c diagnosis.Cause, key cloudmonitor.Credential, from, to time.Duration) {
	p.events = append(p.events, event{c, hash(key.AccessKey), p.start.Add(from), p.start.Add(to)})
}

// sorted returns the steps in the order of time.
func (p *plan) sorted() []step {
	slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return p.steps
}

const stamp = "2006-01-02T15:04:05Z"

// statistics returns the parameters of a query of one metric of an instance from
// from to to.
func statistics(instance int, from, to time.Time) url.Values {
	return url.Values{
		"Namespace": {"KEC"}, "MetricName": {"cpu.utilizition.total"}, "Period": {"60"},
		"InstanceID": {fmt.Sprintf("00000000-aaaa-4bbb-8ccc-%012d", instance)},
		"StartTime":  {from.UTC().Format(stamp)}, "EndTime": {to.UTC().Format(stamp)},
	}
}

// get returns an attempt to query the ten minutes that are complete at a time.
func get(by *program, instance int, at time.Time) attempt {
	end := at.Add(-2 * time.Minute).Truncate(time.Minute)
	return attempt{by: by, action: "GetMetricStatistics", version: "2010-05-25", params: statistics(instance, end.Add(-10*time.Minute), end)}
}

// interval returns an attempt to query from from to to, relative to the time.
func interval(by *program, instance int, at time.Time, from, to time.Duration) attempt {
	return attempt{by: by, action: "GetMetricStatistics", version: "2010-05-25", params: statistics(instance, at.Add(from), at.Add(to))}
}

// list returns an attempt to read a page of a list of total items.
func list(by *program, action string, page, size, total int) attempt {
	return attempt{
		by: by, action: action, version: "2021-01-01", do: cloudmonitor.Directive{Total: total},
		params: url.Values{"PageIndex": {strconv.Itoa(page)}, "PageSize": {strconv.Itoa(size)}},
	}
}

// metrics returns an attempt to list the metrics of a namespace.
func metrics(by *program, namespace string) attempt {
	return attempt{by: by, action: "ListMetrics", version: "2010-05-25", params: url.Values{"Namespace": {namespace}}}
}

// refused returns the attempt with an error as its expected outcome, and its causes.
func (a attempt) refused(must ...diagnosis.Cause) attempt {
	a.want, a.must = classify.OutcomeError, must
	return a
}

// with returns the attempt with a directive.
func (a attempt) with(do cloudmonitor.Directive) attempt { a.do = do; return a }

// batch returns an attempt to query five minutes of n instances at once.
func batch(by *program, n int, at time.Time) attempt { return wide(by, n, at, 5*time.Minute) }

// periods returns the batch with periods of their own, in seconds, for its first items.
func (a attempt) periods(all ...int) attempt {
	parts := strings.SplitAfter(a.body, `"cpu.utilizition.total"`)
	for i, period := range all {
		parts[i] += fmt.Sprintf(`,"Period":%d`, period)
	}
	a.body = strings.Join(parts, "")
	return a
}

// wide returns an attempt to query an interval of n instances at once.
func wide(by *program, n int, at time.Time, interval time.Duration) attempt {
	end := at.Add(-2 * time.Minute).Truncate(time.Minute)
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-%012d","MetricName":"cpu.utilizition.total"}`, i+1)
	}
	body := fmt.Sprintf(`{"Namespace":"KEC","Period":"60","StartTime":%q,"EndTime":%q,"Metrics":[%s]}`,
		end.Add(-interval).Format(stamp), end.Format(stamp), strings.Join(items, ","))
	return attempt{by: by, action: "GetMetricStatisticsBatch", version: "2018-11-14", body: body}
}
