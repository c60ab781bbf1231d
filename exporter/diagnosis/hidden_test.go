package diagnosis

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// asked is a call to the simulator.
type asked struct {
	action, version string
	instance        int
	from, to        time.Duration // of the interval, from now
	page, size      int
	body            string
	do              cloudmonitor.Directive
	xml             bool
	port            uint16
}

// ask makes a call to the simulator, whose clock and the program's say now, and
// returns what the tap sees of it.
func ask(t testing.TB, a asked, now time.Time) *classify.Observation {
	t.Helper()
	gateway := cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{credential}, Now: func() time.Time { return now },
	})
	q := url.Values{"Action": {a.action}, "Version": {a.version}}
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format("2006-01-02T15:04:05Z") }
	if a.instance > 0 {
		q.Set("Namespace", "KEC")
		q.Set("InstanceID", fmt.Sprintf("00000000-aaaa-4bbb-8ccc-%012d", a.instance))
		q.Set("MetricName", "cpu.utilizition.total")
		q.Set("Period", "60")
	}
	if a.from != a.to {
		q.Set("StartTime", stamp(a.from))
		q.Set("EndTime", stamp(a.to))
	}
	if a.page > 0 {
		q.Set("PageIndex", strconv.Itoa(a.page))
	}
	if a.size > 0 {
		q.Set("PageSize", strconv.Itoa(a.size))
	}
	method := http.MethodGet
	if a.body != "" {
		method = http.MethodPost
	}
	r := httptest.NewRequest(method, "http://monitor.api.ksyun.com/?"+strings.ReplaceAll(q.Encode(), "+", "%20"), strings.NewReader(a.body))
	r.Header.Set("Accept", "application/json")
	if a.xml {
		r.Header.Set("Accept", "*/*")
	}
	r.Header.Set(cloudmonitor.DirectiveField, a.do.String())
	cloudmonitor.SignV4(r, []byte(a.body), credential, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, now)
	r.Body = io.NopCloser(strings.NewReader(a.body))
	w := httptest.NewRecorder()
	gateway.ServeHTTP(w, r)

	port := a.port
	if port == 0 {
		port = 40000
	}
	o := &classify.Observation{
		Start: now, FirstByte: now.Add(40 * time.Millisecond), End: now.Add(41 * time.Millisecond),
		Client: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), port), Source: classify.SourceForward, Method: method, Scheme: "http",
		Target: []byte(r.URL.RequestURI()), RequestBody: []byte(a.body), ResponseBody: w.Body.Bytes(),
	}
	o.Call, _ = classifier.Request(&classify.Request{Method: method, Target: o.Target, Host: []byte(r.Host), Header: fieldsOf(r.Header), Body: o.RequestBody})
	response := &classify.Response{Status: w.Code, Header: fieldsOf(w.Header()), Body: w.Body.Bytes()}
	o.Verdict = classifier.Response(&o.Call, response)
	o.Date = classify.ServerTime(response.Header)
	if o.Verdict.Outcome == classify.OutcomePartial {
		o.Items = classifier.Items(o.RequestBody, response, o.Verdict.FailedItems)
	}
	return o
}

func statistics(instance int, from, to time.Duration) asked {
	return asked{action: "GetMetricStatistics", version: "2010-05-25", instance: instance, from: from, to: to}
}

func list(page, size, total int) asked {
	return asked{action: "ListAlarmPolicy", version: "2021-01-01", page: page, size: size, do: cloudmonitor.Directive{Total: total}}
}

// TestHidden makes calls one after the other, a minute apart, and looks at the
// finding about the last one. All of them succeed.
func TestHidden(t *testing.T) {
	const hour, minute = time.Hour, time.Minute
	empty := cloudmonitor.Directive{Empty: true}
	with := func(a asked, do cloudmonitor.Directive) asked { a.do = do; return a }
	xml := func(a asked) asked { a.xml = true; return a }
	tests := []struct {
		name  string
		calls []asked
		want  Cause
		fact  string // in the evidence
	}{
		{"data", []asked{statistics(1, -hour, 0)}, "", ""},
		{"data again", []asked{statistics(1, -hour, 0), statistics(1, -hour, 0)}, "", ""},
		{"data, as the API has it two minutes later", []asked{statistics(1, -10*minute, -2*minute)}, "", ""},
		{"data of last week", []asked{statistics(1, -7*24*hour, -7*24*hour+hour)}, "", ""},
		{"local time of UTC+8", []asked{statistics(1, 7*hour, 8*hour)}, CauseIntervalZone, "+8h0m0s"},
		{"local time of UTC+8, ends earlier", []asked{statistics(1, 8*hour-15*minute, 8*hour-3*minute)}, CauseIntervalZone, "+7h57m0s"},
		{"local time of UTC+8 in XML", []asked{xml(statistics(1, 7*hour, 8*hour))}, CauseIntervalZone, "+8h0m0s"},
		{"local time of UTC+5:30", []asked{statistics(1, 5*hour, 5*hour+30*minute)}, CauseIntervalZone, "+5h30m0s"},
		{"a day that has data", []asked{statistics(1, -16*hour, 8*hour)}, "", ""},
		{"the future", []asked{statistics(1, 72*hour, 73*hour)}, CauseIntervalFuture, "2026-11-26T09:00:00Z"},
		{"the near future", []asked{statistics(1, 2*minute, 15*minute)}, CauseIntervalFuture, "2026-11-23T08:15:00Z"},
		{"the last minute", []asked{statistics(1, -minute, 0)}, CauseIntervalRecent, "00000000-aaaa-4bbb-8ccc-000000000001 cpu.utilizition.total"},
		{"no data as long as is known", []asked{with(statistics(1, -hour, 0), empty)}, CauseDataNone, ""},
		{"another instance had data", []asked{statistics(2, -hour, 0), with(statistics(1, -hour, 0), empty)}, CauseDataNone, ""},
		{"had data before", []asked{statistics(1, -hour, 0), with(statistics(1, -hour, 0), empty)}, CauseDataStopped, "2026-11-23T08:00:00Z"},
		{"had data before, from another port", []asked{statistics(1, -hour, 0), with(asked{action: "GetMetricStatistics", version: "2010-05-25", instance: 1, from: -hour, port: 4}, empty)}, CauseDataStopped, "cpu"},
		{"has data again", []asked{statistics(1, -hour, 0), with(statistics(1, -hour, 0), empty), statistics(1, -hour, 0)}, "", ""},
		{"stale by an hour", []asked{with(statistics(1, -3*hour, 0), cloudmonitor.Directive{Stale: hour})}, CauseDataStale, "1h0m0s"},
		{"stale by ten minutes", []asked{with(statistics(1, -3*hour, 0), cloudmonitor.Directive{Stale: 10 * minute})}, "", ""},
		{"an old interval with data to its end", []asked{statistics(1, -5*hour, -3*hour)}, "", ""},
		{"first page only", []asked{list(0, 0, 25), list(0, 0, 25)}, CausePagesUnread, "25"},
		{"first page only, explicit", []asked{list(1, 20, 25), list(1, 20, 25)}, CausePagesUnread, "20"},
		{"first page once", []asked{list(1, 10, 25)}, "", ""},
		{"all pages", []asked{list(1, 10, 25), list(2, 10, 25), list(3, 10, 25), list(1, 10, 25)}, "", ""},
		{"two of three pages", []asked{list(1, 10, 25), list(2, 10, 25), list(1, 10, 25)}, "", ""},
		{"one page holds all", []asked{list(1, 100, 25), list(1, 100, 25)}, "", ""},
		{"an empty list", []asked{list(1, 10, 0), list(1, 10, 0)}, "", ""},
		{"an error", []asked{with(statistics(1, 7*hour, 8*hour), cloudmonitor.Directive{Error: "ServiceTimeout"})}, "", ""},
	}
	for _, tt := range tests {
		d := New()
		var got *Finding
		for i, a := range tt.calls {
			o := ask(t, a, epoch.Add(time.Duration(i)*time.Minute))
			if o.Verdict.Outcome != classify.OutcomeSuccess && tt.name != "an error" {
				t.Fatalf("%s: answered %s", tt.name, o.ResponseBody)
			}
			got = findingOf(d, o)
		}
		if got == nil {
			got = &Finding{}
		}
		if got.Cause != tt.want || got.Report != (tt.want != "" && tt.want != CauseDataNone) {
			t.Errorf("%s: found %+v, want %q", tt.name, got, tt.want)
			continue
		}
		if tt.want == "" {
			continue
		}
		all := got.diagnoses()
		assert.Equal(t, got.Report, len(all) > 0, "%s: %d diagnoses", tt.name, len(all))
		checkShown(t, tt.name, all)
		if len(all) > 0 && (!strings.Contains(all[0].Evidence.English, tt.fact) || !strings.Contains(all[0].Evidence.Chinese, tt.fact)) {
			t.Errorf("%s: evidence %v, want %q", tt.name, all[0].Evidence, tt.fact)
		}
	}
}

// TestJudgeEmpty checks what the simulator does not answer with an empty result.
func TestJudgeEmpty(t *testing.T) {
	interval := func(from, to time.Duration) emptyInput {
		return emptyInput{start: epoch.Add(from), end: epoch.Add(to), now: epoch, period: time.Minute}
	}
	had := interval(-time.Hour, 0)
	had.last = epoch
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		in   emptyInput
		want Cause
	}{
		"old":                     {interval(-40*day, -31*day), CauseIntervalOld},
		"partly old":              {interval(-40*day, -29*day), CauseDataNone},
		"reversed":                {interval(0, -time.Hour), CauseIntervalReversed},
		"not known":               {emptyInput{now: epoch}, CauseDataNone},
		"not known, but had data": {emptyInput{now: epoch, last: epoch}, CauseDataStopped},
		"had data":                {had, CauseDataStopped},
		"20 minutes ahead":        {interval(10*time.Minute, 20*time.Minute), CauseIntervalFuture},
		"14 hours ahead":          {interval(13*time.Hour, 14*time.Hour), CauseIntervalZone},
		"15 hours ahead":          {interval(14*time.Hour+time.Minute, 15*time.Hour), CauseIntervalFuture},
	} {
		got, _ := judgeEmpty(tt.in)
		assert.Equal(t, tt.want, got, name)
	}
}

// TestFindingsAreReportedOnce checks that a finding is reported again only after a
// pause, and counted each time.
func TestFindingsAreReportedOnce(t *testing.T) {
	d := New()
	reports := 0
	for i := range 21 {
		f := findingOf(d, ask(t, statistics(1, 7*time.Hour, 8*time.Hour), epoch.Add(time.Duration(i)*time.Minute)))
		require.Equal(t, CauseIntervalZone, f.Cause, "found %+v", f)
		if f.Report {
			reports++
		}
	}
	assert.Equal(t, 3, reports, "reports in 20 minutes")
	f := findingOf(d, ask(t, statistics(2, 7*time.Hour, 8*time.Hour), epoch))
	assert.True(t, f.Report, "another query is not reported")
}

// TestBudget checks that only so many responses with data are read in a second, and
// that those without are always explained.
func TestBudget(t *testing.T) {
	var b budget
	taken := 0
	for i := range 1000 {
		if b.take(epoch.Add(time.Duration(i)*time.Millisecond).Unix(), queryBudget) {
			taken++
		}
	}
	assert.Equal(t, queryBudget, taken, "of 1000 taken")
	assert.True(t, b.take(epoch.Add(time.Second).Unix(), queryBudget), "in the next second")
	d := New()
	o := ask(t, statistics(1, 7*time.Hour, 8*time.Hour), epoch)
	for range 2 * queryBudget {
		f := d.Observe(o).Finding
		require.Equal(t, CauseIntervalZone, f.Cause, "found %+v", f)
	}
}

// TestInside checks what is said of responses with errors inside a 200.
func TestInside(t *testing.T) {
	batch := func(n int, do cloudmonitor.Directive) *classify.Observation {
		var metrics []string
		for i := range n {
			metrics = append(metrics, fmt.Sprintf(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-%012d","MetricName":"cpu.utilizition.total"}`, i+1))
		}
		stamp := func(d time.Duration) string { return epoch.Add(d).Format(time.RFC3339) }
		return ask(t, asked{
			action: "GetMetricStatisticsBatch", version: "2018-11-14", do: do,
			body: fmt.Sprintf(`{"Namespace":"KEC","Period":60,"StartTime":%q,"EndTime":%q,"Metrics":[%s]}`, stamp(-10*time.Minute), stamp(-5*time.Minute), strings.Join(metrics, ",")),
		}, epoch)
	}
	tests := []struct {
		name    string
		o       *classify.Observation
		want    Cause
		says    []string
		blame   classify.Blame
		runbook string
	}{
		{
			"one of four", batch(4, cloudmonitor.Directive{Partial: 1}), CauseItemsFailed,
			[]string{"1/4 (25%)", "00000000-aaaa-4bbb-8ccc-000000000001 cpu.utilizition.total"},
			classify.BlameCredential, "KsyunApiPartialFailures",
		},
		{"thirty of forty", batch(40, cloudmonitor.Directive{Partial: 30}), CauseItemsFailed, []string{"30/40 (75%)", "(+27)"}, classify.BlameCredential, "KsyunApiPartialFailures"},
		{"none", batch(4, cloudmonitor.Directive{}), "", nil, "", ""},
		{"masked", ask(t, with200("ServiceTimeout", ""), epoch), CauseMasked, []string{"Status 200", "ServiceTimeout", "json"}, classify.BlameProvider, "KsyunApiMaskedErrors"},
		{"masked page", ask(t, with200("ServiceUnavailable", "html"), epoch), CauseMasked, []string{"html"}, classify.BlameProvider, "KsyunApiMaskedErrors"},
		{"an error", ask(t, asked{action: "ListMetrics", version: "2010-05-25", do: cloudmonitor.Directive{Error: "ServiceTimeout"}}, epoch), "", nil, "", ""},
	}
	for _, tt := range tests {
		all := New().Diagnose(tt.o, Attempt{})
		if tt.want == "" {
			if all != nil {
				t.Errorf("%s: %v", tt.name, names(all))
			}
			continue
		}
		if len(all) != 1 || all[0].Cause != tt.want || all[0].Blame != tt.blame || !strings.Contains(all[0].Advice.Runbook, tt.runbook) {
			t.Errorf("%s: %v %+v", tt.name, names(all), all)
			continue
		}
		checkShown(t, tt.name, all)
		for _, s := range tt.says {
			assert.Contains(t, all[0].Evidence.English, s, "%s: evidence", tt.name)
		}
	}
}

// with200 is a call that is answered with an error in a 200.
func with200(code, shape string) asked {
	return asked{action: "ListMetrics", version: "2010-05-25", do: cloudmonitor.Directive{Error: code, Status: 200, Shape: shape}}
}

// BenchmarkHidden measures what all analysers take at a success: with data, of a
// program that calls once and ten thousand times a second, of a list, and without
// data.
func BenchmarkHidden(b *testing.B) {
	data := ask(b, statistics(1, -time.Hour, 0), epoch)
	for _, bb := range []struct {
		name string
		o    *classify.Observation
		pace time.Duration
	}{
		{"data/1 per s", data, time.Second},
		{"data/10000 per s", data, 100 * time.Microsecond},
		{"list/10000 per s", ask(b, list(1, 100, 100), epoch), 100 * time.Microsecond},
		{"other action", ask(b, asked{action: "PutMetricData", version: "2017-07-01"}, epoch), time.Second},
		{"empty", ask(b, statistics(1, 7*time.Hour, 8*time.Hour), epoch), time.Second},
	} {
		b.Run(bb.name, func(b *testing.B) {
			d := New()
			b.ReportAllocs()
			for b.Loop() {
				bb.o.End = bb.o.End.Add(bb.pace)
				d.Observe(bb.o)
			}
		})
	}
}

// TestHiddenAllocatesNothing holds the cost of a success with data.
func TestHiddenAllocatesNothing(t *testing.T) {
	d := New()
	for _, o := range []*classify.Observation{ask(t, statistics(1, -time.Hour, 0), epoch), ask(t, list(1, 100, 50), epoch)} {
		n := testing.AllocsPerRun(100, func() {
			o.End = o.End.Add(time.Second)
			d.Observe(o)
		})
		assert.Zero(t, n, "%s: %v allocations", o.Call.Action, n)
	}
}

// TestListsOfOneSlot checks that lists with the same slot are remembered beside each other.
func TestListsOfOneSlot(t *testing.T) {
	var p pages
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	read := func() (found int) {
		now = now.Add(time.Minute)
		for i := range uint64(queryProbes) {
			if read, of := p.observe(i*2*maxPageQueries|1, 1, 10, 25, now); read == 10 && of == 25 {
				found++
			}
		}
		return found
	}
	assert.Zero(t, read(), "lists are known at first")
	assert.Equal(t, queryProbes, read(), "lists are remembered")
	p.miss(now.Unix())
	assert.Zero(t, read(), "lists are not read on, of which the second page may have been missed")
}
