package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

func TestRedundantCalls(t *testing.T) {
	const list = "Action=ListMetrics&Version=2010-05-25&Namespace=KEC"
	const batch = "Action=GetMetricStatisticsBatch&Version=2018-11-14"
	for _, tt := range []struct {
		name            string
		play            func(l *lab)
		action          string
		others, tooMany uint64
	}{
		{"another program asks the same", func(l *lab) {
			l.do(attempt{})
			l.do(attempt{wait: 5 * time.Second, from: "192.0.2.10"})
		}, "GetMetricStatistics", 1, 0},
		{"a program asks every ten seconds for data of a minute", func(l *lab) { l.repeat(12, attempt{wait: 9980 * time.Millisecond}) }, "GetMetricStatistics", 0, 10},
		{"a list is asked for again and again", func(l *lab) { l.repeat(3, attempt{wait: time.Second, query: list}) }, "ListMetrics", 0, 2},

		{"a program asks every minute for data of five minutes", func(l *lab) {
			l.repeat(6, attempt{wait: time.Minute, query: with(getStatistics, "Period", "300")})
		}, "GetMetricStatistics", 0, 4},

		{"a program asks every minute for data of five minutes, in a batch", func(l *lab) {
			l.repeat(6, attempt{wait: time.Minute, query: batch, body: periods(60, 300, 600)})
		}, "GetMetricStatisticsBatch", 0, 4},
		{"a batch with data of a minute besides", func(l *lab) {
			l.repeat(6, attempt{wait: time.Minute, query: batch, body: periods(300, 300, 60)})
		}, "GetMetricStatisticsBatch", 0, 0},
		{"a batch with data of the period of the request besides", func(l *lab) {
			l.repeat(6, attempt{wait: time.Minute, query: batch, body: periods(60, 300, 0)})
		}, "GetMetricStatisticsBatch", 0, 0},

		{"a program asks every minute", func(l *lab) { l.repeat(5, attempt{wait: time.Minute}) }, "GetMetricStatistics", 0, 0},
		{"a program asks every minute, with responses that take different times", func(l *lab) {
			l.do(attempt{took: 900 * time.Millisecond})
			l.do(attempt{wait: time.Minute - 900*time.Millisecond, took: 20 * time.Millisecond})
		}, "GetMetricStatistics", 0, 0},
		{"two programs ask every minute in turn", func(l *lab) {
			for range 3 {
				l.do(attempt{wait: 61 * time.Second})
				l.do(attempt{wait: 61 * time.Second, from: "192.0.2.10"})
			}
		}, "GetMetricStatistics", 0, 0},
		{"two pages", func(l *lab) {
			l.do(attempt{query: with(list, "PageIndex", "1")})
			l.do(attempt{query: with(list, "PageIndex", "2")})
		}, "ListMetrics", 0, 0},
		{"a window that moves", func(l *lab) {
			for i := range 5 {
				l.do(attempt{wait: 10 * time.Second, query: with(getStatistics, "EndTime", fmt.Sprintf("2026-11-23T07:30:%02dZ", i))})
			}
		}, "GetMetricStatistics", 0, 0},
		{"a retry of what failed", func(l *lab) {
			l.do(attempt{do: cloudmonitor.Directive{Error: "ServiceTimeout"}})
			l.do(attempt{wait: time.Second})
		}, "GetMetricStatistics", 0, 0},
		{"another key", func(l *lab) {
			l.gateway.SetCredential(another)
			l.do(attempt{})
			l.do(attempt{wait: time.Second, as: &another})
		}, "GetMetricStatistics", 0, 0},
		{"a change", func(l *lab) {
			l.repeat(3, attempt{query: "Action=CreateAlarmPolicy&Version=2022-01-01", method: "POST"})
		}, "CreateAlarmPolicy", 0, 0},
	} {
		l := newLab(t, false)
		tt.play(l)
		c := l.counted(tt.action)
		if c.Redundant[RedundantOtherClient] != tt.others || c.Redundant[RedundantTooOften] != tt.tooMany {
			t.Errorf("%s: %v, want %d and %d", tt.name, c.Redundant, tt.others, tt.tooMany)
		}
	}
}

// periods returns the body of a batch with a Period, and metrics with Periods of their
// own unless they are 0.
func periods(period int, metrics ...int) string {
	var items []string
	for i, own := range metrics {
		item := fmt.Sprintf(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-%012d","MetricName":"cpu.utilizition.total"`, i)
		if own > 0 {
			item += fmt.Sprintf(`,"Period":%d`, own)
		}
		items = append(items, item+"}")
	}
	return fmt.Sprintf(`{"Namespace":"KEC","StartTime":"2026-11-23T07:00:00Z","EndTime":"2026-11-23T07:30:00Z","Period":%d,"Metrics":[%s]}`,
		period, strings.Join(items, ","))
}

// TestRedundantCallsExplainThrottling checks that redundant calls are a cause for the
// action and the credential that they were made with, but not if they are few.
func TestRedundantCallsExplainThrottling(t *testing.T) {
	l := newLab(t, false)
	throttled := cloudmonitor.Directive{Error: "LimitExceeded"}
	l.repeat(minRedundant, attempt{wait: time.Second})
	if _, all := l.do(attempt{wait: 10 * time.Second, do: throttled}); slices.Contains(causesOf(all), CauseCallsRedundant) {
		t.Errorf("after few: %v", names(all))
	}
	const list = "Action=ListMetrics&Version=2010-05-25"
	l.repeat(minRedundant+1, attempt{wait: time.Second, query: list})
	if _, all := l.do(attempt{wait: 10 * time.Second, do: throttled}); slices.Contains(causesOf(all), CauseCallsRedundant) {
		t.Errorf("after many of another action: %v", names(all))
	}
	_, all := l.do(attempt{wait: 10 * time.Second, query: list, do: throttled})
	i := slices.Index(causesOf(all), CauseCallsRedundant)
	if i < 0 {
		t.Fatalf("diagnosed %v", names(all))
	}
	const want = "30 of 31 successful calls of ListMetrics with this credential (96 %) repeated a query whose result was still up to date."
	if got := all[i].Evidence.English; all[i].Certainty != Possible || got != want {
		t.Errorf("%s: %s", all[i].Certainty, got)
	}
	if _, all := l.do(attempt{wait: 10 * time.Second, query: list, do: cloudmonitor.Directive{Error: "ServiceTimeout"}}); slices.Contains(causesOf(all), CauseCallsRedundant) {
		t.Errorf("of a timeout: %v", names(all))
	}
}

// TestRedundantShareOfRetries checks that calls that succeed after a retry are counted as
// successful.
func TestRedundantShareOfRetries(t *testing.T) {
	l := newLab(t, false)
	throttled := attempt{wait: time.Second / 2, do: cloudmonitor.Directive{Error: "LimitExceeded"}}
	for range minRedundant + 1 {
		l.do(throttled)
		l.do(attempt{wait: time.Second / 2})
	}
	_, all := l.do(throttled)
	i := slices.Index(causesOf(all), CauseCallsRedundant)
	if i < 0 {
		t.Fatalf("diagnosed %v", names(all))
	}
	if got := all[i].Evidence.English; !strings.HasPrefix(got, "30 of 31 successful calls") {
		t.Error(got)
	}
}

// TestSuccessesAreCountedOnceASecond checks that throttled attempts do not look at every use each
// time.
func TestSuccessesAreCountedOnceASecond(t *testing.T) {
	l := newLab(t, false)
	o, _ := l.do(attempt{})
	l.d.Flush()
	u := &l.d.usages.find(usageKey(o)).value
	count := func(second int64) uint64 {
		l.do(attempt{})
		l.d.Flush()
		all, _ := l.d.successesOf(u, second)
		return all
	}
	if first, again, later := count(1), count(1), count(2); first != 2 || again != 2 || later != 4 {
		t.Errorf("%d, then %d in the same second and %d later", first, again, later)
	}
}

// TestRedundantQueries checks which queries could have been saved, and that the most
// frequent ones are kept.
func TestRedundantQueries(t *testing.T) {
	l := newLab(t, false)
	l.do(attempt{})
	l.do(attempt{wait: time.Second, from: "192.0.2.10"})
	l.do(attempt{wait: time.Second})
	list := func(i int) string {
		return fmt.Sprintf("Action=ListMetrics&Version=2010-05-25&Namespace=KEC&PageIndex=%d", i+1)
	}
	for i := range maxRedundant + 10 {
		l.repeat(2, attempt{wait: time.Second, query: list(i)})
	}
	all := l.d.Inventory().Redundant
	assert.Len(t, all, maxRedundant, "queries")
	got := all[0]
	if got.Service != "monitor" || got.Action != "GetMetricStatistics" || got.Version != "2010-05-25" || got.Count != 2 ||
		got.Query != "00000000-aaaa-4bbb-8ccc-000000000001 cpu.utilizition.total" || got.Credential == "" ||
		!slices.Equal(got.Programs, []string{"unknown"}) || !got.Last.After(got.First) {
		t.Errorf("%+v", got)
	}
	if last := all[len(all)-1]; last.Count != 1 || last.Action != "ListMetrics" || last.Query != "" {
		t.Errorf("%+v", last)
	}
}
