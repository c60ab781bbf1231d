package diagnosis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// batchOf returns a batch of n metrics with an interval of the given number of minutes.
func batchOf(n, minutes int) attempt {
	start := epoch.Add(-24 * time.Hour)
	items := strings.Repeat(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"},`, n)
	return attempt{query: batchQuery, body: fmt.Sprintf(`{"Namespace":"KEC","StartTime":%q,"EndTime":%q,"Period":60,"Metrics":[%s]}`,
		start.Format(time.RFC3339), start.Add(time.Duration(minutes)*time.Minute).Format(time.RFC3339), strings.TrimSuffix(items, ","))}
}

// days returns a query of one metric with an interval of the given number of days.
func days(n int, period string) attempt {
	query := with(getStatistics, "StartTime", epoch.AddDate(0, 0, -n).Format(time.RFC3339))
	return attempt{query: with(with(query, "EndTime", epoch.Format(time.RFC3339)), "Period", period)}
}

// TestSizeIsExceeded makes requests that the gateway refuses for their size.
func TestSizeIsExceeded(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    attempt
		want string
	}{
		{"201 metrics", batchOf(201, 5), "metrics 201/200 (101%), records 1005/6000 (17%)"},
		{"6,600 records", batchOf(110, 60), "metrics 110/200 (55%), records 6600/6000 (110%)"},
	} {
		l := newLab(t, false)
		o, all := l.do(tt.a)
		if o.Verdict.Category != classify.CategoryTooLarge || len(all) == 0 || all[0].Cause != CauseSizeExceeded || all[0].Certainty != Certain {
			t.Errorf("%s: answered %s; diagnosed %v", tt.name, o.Verdict.Code, names(all))
			continue
		}
		for _, text := range []string{all[0].Evidence.English, all[0].Evidence.Chinese} {
			assert.Contains(t, text, tt.want, tt.name)
		}
		l.want() // it is a failure, and no warning
	}
}

// TestSizeOfOtherFailures checks how certain it is that the size is the cause, by the
// category of the failure.
func TestSizeOfOtherFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    attempt
		do   cloudmonitor.Directive
		want Certainty // "" for no such diagnosis
	}{
		{"a time-out above the limit", batchOf(250, 1), cloudmonitor.Directive{Error: "ServiceTimeout"}, Likely},
		{"a time-out near the limit", batchOf(190, 1), cloudmonitor.Directive{Error: "ServiceTimeout"}, Possible},
		{"a time-out of a small request", batchOf(10, 1), cloudmonitor.Directive{Error: "ServiceTimeout"}, ""},
		{"too large, although near the limit", batchOf(190, 1), cloudmonitor.Directive{Error: "RequestTooLarge"}, Likely},
		{"too large, although small", batchOf(10, 1), cloudmonitor.Directive{Error: "RequestTooLarge"}, ""},
		{"an unknown code above the limit", batchOf(250, 1), cloudmonitor.Directive{Error: "BatchOverflow"}, Likely},
		{"a wrong parameter above the limit", batchOf(250, 1), cloudmonitor.Directive{Error: "MissingParameter"}, Possible},
		{"a wrong parameter near the limit", batchOf(190, 1), cloudmonitor.Directive{Error: "MissingParameter"}, ""},
		{"throttled above the limit", batchOf(250, 1), cloudmonitor.Directive{Error: "LimitExceeded"}, ""},
	} {
		l := newLab(t, false)
		tt.a.do = tt.do
		_, all := l.do(tt.a)
		var got Certainty
		for _, d := range all {
			if d.Cause == CauseSizeExceeded {
				got = d.Certainty
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q; diagnosed %v", tt.name, got, tt.want, names(all))
		}
	}
}

// TestSizeIsNear makes requests that still succeed.
func TestSizeIsNear(t *testing.T) {
	for _, tt := range []struct {
		name            string
		a               attempt
		metrics, record float64
	}{
		{"160 metrics", batchOf(160, 5), 0.8, 160 * 5. / 6000},
		{"5,400 records", batchOf(90, 60), 0.45, 0.9},
	} {
		l := newLab(t, false)
		l.repeat(20, tt.a)
		l.want(CauseSizeNear) // once an hour
		if e := l.notices[len(l.notices)-1]; e.Severity != SeverityWarn || e.Action != "GetMetricStatisticsBatch" {
			t.Errorf("%s: %+v", tt.name, e)
		}
		got := l.d.RequestSizes(l.now)
		if len(got) != 2 || got[0].Limit != SizeMetrics || got[0].Used != tt.metrics || got[1].Used != tt.record {
			t.Errorf("%s: %+v", tt.name, got)
		}
		l.do(batchOf(2, 5)) // the largest one counts
		if got := l.d.RequestSizes(l.now); len(got) != 2 || got[0].Used != tt.metrics {
			t.Errorf("%s, after a small one: %+v", tt.name, got)
		}
		assert.Empty(t, l.d.RequestSizes(l.now.Add(2*sizeBucket*time.Second)), "%s, after ten minutes", tt.name)
		tt.a.wait = time.Hour
		l.do(tt.a)
		l.want(CauseSizeNear, CauseSizeNear)
	}
}

// TestSizeOfOneMetric queries an interval that is long for its period. The data of
// the API goes back 30 days, which are 43,200 minutes.
func TestSizeOfOneMetric(t *testing.T) {
	l := newLab(t, false)
	l.do(days(29, "60"))
	l.want()
	if got := l.d.RequestSizes(l.now); len(got) != 1 || got[0].Limit != SizeRecords || got[0].Used != 29*1440/60000. {
		t.Errorf("%+v", got)
	}
	o := success()
	o.Target = []byte("/?" + with(days(29, "60").query, "StartTime", "2026-10-10T00:00:00Z"))
	l.d.Observe(o)
	l.want(CauseSizeNear)
}

func TestSizeInnocent(t *testing.T) {
	for name, a := range map[string]attempt{
		"half of a batch":                   batchOf(100, 30),
		"a long interval and a long period": days(29, "3600"),
		"a version without limits":          {query: with(batchQuery, "Version", "2023-07-12"), body: batchOf(190, 5).body},
		"another action":                    {query: listPolicies},
	} {
		l := newLab(t, false)
		l.repeat(5, a)
		l.want()
		for _, s := range l.d.RequestSizes(l.now) {
			if s.Used >= limitWarn || s.Version == "2023-07-12" {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}

// TestSizeIsReadForSome checks that the number of requests that are read in a second
// is bounded, except for failures.
func TestSizeIsReadForSome(t *testing.T) {
	d, o := New(), success()
	o.Target = []byte("/?" + getStatistics)
	for range 10 * queryBudget {
		d.Observe(o)
	}
	assert.EqualValues(t, queryBudget, d.queries.Load()&0xff, "were read")
	o.Verdict.Outcome, o.Verdict.Category = classify.OutcomeError, classify.CategoryTooLarge
	at := d.Observe(o)
	assert.Equal(t, 30, at.Size.Records, "of a failure: %+v", at.Size)
}

func TestPeak(t *testing.T) {
	const start = 1_000_000 * sizeBucket
	var p peak
	_, ok := p.max(start)
	assert.False(t, ok, "a maximum of nothing")
	for _, s := range []struct{ after, value, want int }{
		{0, 5, 5}, {1, 3, 5}, {sizeBucket, 2, 5}, {sizeBucket + 1, 4, 5}, {2 * sizeBucket, 1, 4}, {5 * sizeBucket, 3, 3}, {5*sizeBucket + 1, 1 << 40, 1<<32 - 1},
	} {
		p.add(start+int64(s.after), s.value)
		if got, ok := p.max(start + int64(s.after)); got != s.want || !ok {
			t.Errorf("after %d seconds: %d, want %d", s.after, got, s.want)
		}
	}
}
