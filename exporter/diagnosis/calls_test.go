package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// counted returns the counts of an action, after all calls have ended.
func (l *lab) counted(action string) Calls {
	l.t.Helper()
	all := l.d.Calls(l.now.Add(time.Hour))
	i := slices.IndexFunc(all, func(c Calls) bool { return c.Action == action })
	if i < 0 {
		l.t.Fatalf("no calls of %s in %+v", action, all)
	}
	return all[i]
}

// tally is what TestCalls compares: the outcomes of calls in the order of
// callOutcomes, and the results of retries in that of retryResults.
func (c *Calls) tally() string {
	var s strings.Builder
	for _, o := range callOutcomes {
		fmt.Fprint(&s, c.Outcomes[o], " ")
	}
	s.WriteString("|")
	for _, r := range retryResults {
		fmt.Fprint(&s, " ", c.Retries[r])
	}
	return s.String()
}

func TestCalls(t *testing.T) {
	fails := func(code string) cloudmonitor.Directive { return cloudmonitor.Directive{Error: code} }
	timeout, throttled, wrong := fails("ServiceTimeout"), fails("LimitExceeded"), attempt{query: with(getStatistics, "Period", "7")}
	for _, tt := range []struct {
		name string
		play func(l *lab)
		want string // see tally
		sum  uint64 // attempts
	}{
		{"exactly as many attempts as a call can have", func(l *lab) {
			l.repeat(maxAttempts, attempt{wait: time.Second, do: throttled})
		}, "0 0 1 0 | 0 0 0 15", maxAttempts},
		{"a success", func(l *lab) { l.do(attempt{}) }, "1 0 0 0 | 0 0 0 0", 1},
		{"the second attempt succeeds", func(l *lab) {
			l.do(attempt{do: timeout})
			l.do(attempt{wait: 300 * time.Millisecond, port: 1})
		}, "0 1 0 0 | 1 0 0 0", 2},
		{"four attempts fail, as of the Go SDK", func(l *lab) {
			for _, pause := range []time.Duration{0, 800 * time.Millisecond, 1700 * time.Millisecond, 3900 * time.Millisecond} {
				l.do(attempt{wait: pause, do: timeout})
			}
		}, "0 0 1 0 | 0 3 0 0", 4},
		{"five attempts with pauses up to 8 seconds, as of the Python SDK", func(l *lab) {
			for _, pause := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
				l.do(attempt{wait: pause, do: throttled})
			}
		}, "0 0 1 0 | 0 0 0 4", 5},
		{"what cannot succeed is retried", func(l *lab) {
			l.do(wrong)
			wrong := wrong
			wrong.wait = time.Second
			l.repeat(2, wrong)
		}, "0 0 1 0 | 0 0 2 0", 3},
		{"first throttled, then a timeout", func(l *lab) {
			l.do(attempt{do: throttled})
			l.do(attempt{wait: time.Second, do: timeout})
		}, "0 0 1 0 | 0 1 0 0", 2},
		{"a slow attempt after a slow one", func(l *lab) {
			l.do(attempt{do: timeout, took: time.Minute})
			l.d.Calls(l.now.Add(50 * time.Second)) // while the next one runs
			l.do(attempt{wait: time.Second, took: time.Minute})
		}, "0 1 0 0 | 1 0 0 0", 2},
		{"more attempts than one call has", func(l *lab) { l.repeat(20, attempt{wait: time.Second, do: timeout}) }, "0 0 2 0 | 0 19 0 0", 20},

		{"a poll every minute that fails", func(l *lab) { l.repeat(5, attempt{wait: time.Minute, do: timeout}) }, "0 0 5 0 | 0 0 0 0", 5},
		{"a poll every ten seconds that fails", func(l *lab) { l.repeat(5, attempt{wait: 10 * time.Second, do: timeout}) }, "0 0 5 0 | 0 0 0 0", 5},
		{"a poll every second that succeeds", func(l *lab) { l.repeat(5, attempt{wait: time.Second}) }, "5 0 0 0 | 0 0 0 0", 5},
		{"a success, then a failure", func(l *lab) {
			l.do(attempt{})
			l.do(attempt{wait: time.Second, do: timeout})
		}, "1 0 1 0 | 0 0 0 0", 2},
		{"two pages of a list", func(l *lab) {
			l.do(attempt{do: timeout, query: with(getStatistics, "PageIndex", "1")})
			l.do(attempt{query: with(getStatistics, "PageIndex", "2")})
		}, "1 0 1 0 | 0 0 0 0", 2},
		{"two clients ask the same", func(l *lab) {
			l.do(attempt{do: timeout})
			l.do(attempt{wait: time.Second, from: "192.0.2.10"})
		}, "1 0 1 0 | 0 0 0 0", 2},
		{"two keys ask the same", func(l *lab) {
			l.gateway.SetCredential(another)
			l.do(attempt{do: timeout})
			l.do(attempt{wait: time.Second, as: &another})
		}, "1 0 1 0 | 0 0 0 0", 2},
		{"two instances", func(l *lab) {
			l.do(attempt{do: timeout})
			l.do(attempt{wait: time.Second, query: with(getStatistics, "InstanceID", "00000000-aaaa-4bbb-8ccc-000000000002")})
		}, "1 0 1 0 | 0 0 0 0", 2},
		{"at the same time", func(l *lab) {
			l.do(attempt{do: timeout, took: 5 * time.Second})
			l.now = l.now.Add(-4 * time.Second)
			l.do(attempt{took: time.Second})
		}, "1 0 1 0 | 0 0 0 0", 2},
		{"after the clock was set back", func(l *lab) {
			l.do(attempt{do: timeout})
			l.do(attempt{wait: -3 * time.Hour})
		}, "1 0 1 0 | 0 0 0 0", 2},
	} {
		l := newLab(t, false)
		tt.play(l)
		c := l.counted("GetMetricStatistics")
		if got := c.tally(); got != tt.want || c.AttemptsSum != tt.sum {
			t.Errorf("%s: %s, %d attempts, want %s, %d", tt.name, got, c.AttemptsSum, tt.want, tt.sum)
		}
		calls, n := uint64(0), uint64(0)
		for _, k := range c.Attempts {
			n += k
		}
		for _, k := range c.Outcomes {
			calls += k
		}
		assert.Equal(t, n, calls, "%s: %d calls, %d in the histogram", tt.name, calls, n)
		assert.Zero(t, openCalls(t, l.d), "%s: calls are open", tt.name)
	}
}

func TestAttemptsOfOneCall(t *testing.T) {
	l := newLab(t, false)
	throttled := cloudmonitor.Directive{Error: "LimitExceeded"}
	l.do(attempt{do: throttled})
	first := l.at
	_, all := l.do(attempt{wait: time.Second, do: throttled, port: 7})
	if l.at.CallID != first.CallID || first.Number != 1 || l.at.Number != 2 || l.at.Pause != time.Second {
		t.Errorf("%+v, then %+v", first, l.at)
	}
	if !slices.Contains(causesOf(all), CauseRetryThrottled) {
		t.Errorf("diagnosed %v", names(all))
	}
	l.do(attempt{wait: time.Second})
	if l.at.CallID != first.CallID || l.at.Number != 3 || l.at.Result != RetrySucceeded {
		t.Errorf("at last %+v", l.at)
	}
	l.do(attempt{wait: time.Second})
	if l.at != (Attempt{}) {
		t.Errorf("a call that succeeds at once: %+v", l.at)
	}
	l.do(attempt{do: throttled})
	if l.at.CallID == first.CallID || l.at.Number != 1 {
		t.Errorf("the next call: %+v", l.at)
	}
	l.want()
}

func TestWastedRetriesAreReportedOnce(t *testing.T) {
	l := newLab(t, false)
	wrong := attempt{wait: time.Second, query: with(getStatistics, "Period", "7")}
	l.do(wrong)
	l.want()
	l.repeat(5, wrong)
	l.want(CauseRetryWasted)
	l.now = l.now.Add(2 * time.Hour)
	l.repeat(2, wrong)
	l.want(CauseRetryWasted, CauseRetryWasted)
}

// TestCallsOfOtherSources checks attempts of which the parameters are not known.
func TestCallsOfOtherSources(t *testing.T) {
	l := newLab(t, false)
	o, _ := l.do(attempt{do: cloudmonitor.Directive{Error: "ServiceTimeout"}})
	l.now = l.now.Add(time.Hour)
	o.Start, o.End = l.now, l.now
	o.Source, o.Target = classify.SourceCSM, nil
	if at := l.d.Observe(o); at != (Attempt{}) {
		t.Errorf("of an SDK's record: %+v", at)
	}
	o.Source, o.Call.Unread = classify.SourceForward, classify.UnreadMemory
	for range 2 {
		if at := l.d.Observe(o); at != (Attempt{}) {
			t.Errorf("of a request that was not read: %+v", at)
		}
	}
	c := l.counted("GetMetricStatistics")
	assert.Equal(t, "0 0 3 0 | 0 0 0 0", c.tally())
}

// TestOpenCallsAreBounded fails more calls than can be open, which all count.
func TestOpenCallsAreBounded(t *testing.T) {
	d, o := New(), success()
	o.Verdict.Outcome = classify.OutcomeError
	const n = 5 * maxOpenCalls
	for i := range n {
		o.Call.Fingerprint = uint64(i+1) * 0x9E3779B97F4A7C15
		o.Start, o.End = epoch.Add(time.Duration(i)*time.Millisecond), epoch.Add(time.Duration(i)*time.Millisecond)
		d.Observe(o)
	}
	assert.GreaterOrEqual(t, openCalls(t, d), maxOpenCalls/2)
	if all := d.Calls(epoch.Add(time.Hour)); len(all) != 1 || all[0].Outcomes[CallFailed] != n {
		t.Errorf("%+v", all)
	}
	assert.Zero(t, openCalls(t, d))
}

// openCalls returns the number of open calls, and checks that they are counted by fingerprint.
func openCalls(t *testing.T, d *Diagnoser) (open int) {
	t.Helper()
	c, counted := &d.calls, 0
	for i := range c.keys {
		if c.keys[i].Load() != 0 {
			open++
			assert.NotZero(t, c.open(c.slots[i].asked).Load(), "slot %d", i)
		}
	}
	for i := range c.asked {
		counted += int(c.asked[i].Load())
	}
	assert.Equal(t, open, counted)
	return open
}

func TestCallOutcomeOf(t *testing.T) {
	for last, want := range map[classify.Outcome]CallOutcome{
		classify.OutcomeSuccess: CallSuccessAfterRetry, classify.OutcomeDryRun: CallSuccessAfterRetry,
		classify.OutcomeError: CallFailed, classify.OutcomePartial: CallFailed, classify.OutcomeMasked: CallFailed, classify.OutcomeProxy: CallFailed,
		classify.OutcomeCanceled: CallCanceled,
	} {
		assert.Equal(t, want, callOutcomes[callOutcomeOf(last)], last)
	}
}
