package metrics_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func TestLabels(t *testing.T) {
	known := &classify.Entry{Code: "Throttling", Aliases: []string{"Throttled"}, Grade: classify.GradeDocumented}
	tests := []struct {
		name    string
		verdict classify.Verdict
		want    map[string]string
	}{
		{
			"a code in the catalogue's spelling",
			classify.Verdict{Code: "throttling", Entry: known, Match: classify.MatchCode, Status: 429, Type: classify.TypeSender, Category: classify.CategoryThrottled},
			map[string]string{"code": "Throttling", "status": "429", "type": "sender", "category": "throttled"},
		},
		{
			"an alias in the catalogue's spelling",
			classify.Verdict{Code: "THROTTLED", Entry: known, Match: classify.MatchCode, Status: 429, Type: classify.TypeSender, Category: classify.CategoryThrottled},
			map[string]string{"code": "Throttled", "status": "429", "type": "sender", "category": "throttled"},
		},
		{
			"a row found by message names no code",
			classify.Verdict{Entry: known, Match: classify.MatchMessage, Status: 400, Type: classify.TypeUnknown, Category: classify.CategoryThrottled},
			map[string]string{"code": "none", "status": "400", "type": "unknown", "category": "throttled"},
		},
		{
			"a row under our own name leaves the wire's code",
			classify.Verdict{
				Code: "Wire", Match: classify.MatchCode, Status: 400, Type: classify.TypeSender, Category: classify.CategoryAuth,
				Entry: &classify.Entry{Code: "OurName", Grade: classify.GradePlaceholder},
			},
			map[string]string{"code": "Wire", "status": "400", "type": "sender", "category": "auth"},
		},
		{
			"nothing known",
			classify.Verdict{},
			map[string]string{"code": "none", "status": "none", "type": "unknown", "category": "unknown"},
		},
		{
			"a status beyond HTTP",
			classify.Verdict{Status: 999, Type: "sideways", Category: "bad luck"},
			map[string]string{"code": "none", "status": "_other", "type": "unknown", "category": "unknown"},
		},
		{
			"a code that is no text",
			classify.Verdict{Code: "\xff\xfe", Status: 400, Type: classify.TypeSender, Category: classify.CategoryRequest},
			map[string]string{"code": "_other", "status": "400", "type": "sender", "category": "request"},
		},
		{
			"a code that is too long",
			classify.Verdict{Code: strings.Repeat("x", 129), Status: 400, Type: classify.TypeSender, Category: classify.CategoryRequest},
			map[string]string{"code": "_other", "status": "400", "type": "sender", "category": "request"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := metrics.New()
			tt.verdict.Outcome = classify.OutcomeError
			o := &classify.Observation{Verdict: tt.verdict}
			maps.Copy(tt.want, map[string]string{"blame": "unknown", "service": "unknown", "action": "unknown", "version": "unknown", "region": "unknown"})
			for n := 1; n <= 2; n++ { // the second time by the table
				m.Observe(o, record.Span{})
				if v, _ := value(t, m, "ksyun_api_errors_total", tt.want); v != float64(n) {
					t.Fatalf("counted %v times under %v, want %d; have %v", v, tt.want, n, gather(t, m)["ksyun_api_errors_total"])
				}
			}
		})
	}
}

// TestDocumentedValuesAlwaysHaveTheirPlace fills every label with strangers'
// values before the first call of Cloud Monitor comes.
func TestDocumentedValuesAlwaysHaveTheirPlace(t *testing.T) {
	m := metrics.New()
	observe := func(service, action, version string) {
		call := classify.Call{Service: service, Action: action, Version: version}
		m.Begin(&call)
		m.Observe(&classify.Observation{Call: call, Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, Status: 200}}, record.Span{})
	}
	for i := range metrics.MaxActions + 1 {
		observe(fmt.Sprint("service-", i), fmt.Sprint("Action", i), fmt.Sprint("version-", i))
	}
	v, _ := value(t, m, "ksyun_tap_label_overflow_total", map[string]string{"label": "action"})
	assert.EqualValues(t, 1, v, "strangers' actions beyond the limit")
	for _, a := range classify.KnownActions() {
		observe(a.Service, a.Name, a.Version)
		labels := map[string]string{"service": a.Service, "action": a.Name, "version": a.Version, "region": "unknown", "outcome": "success", "status": "200"}
		v, _ := value(t, m, "ksyun_api_requests_total", labels)
		assert.EqualValues(t, 1, v, "%s of %s counted %v times, want 1", a.Name, a.Version, v)
	}
	observe("monitor", classify.SeveralActions, "2010-05-25")
	if v, _ := value(t, m, "ksyun_api_requests_total", map[string]string{"service": "monitor", "action": "_several", "version": "2010-05-25", "region": "unknown", "outcome": "success", "status": "200"}); v != 1 {
		t.Errorf("several actions counted %v times, want 1", v)
	}
}

func TestUnreadBodies(t *testing.T) {
	m := metrics.New()
	m.Observe(&classify.Observation{
		Call:    classify.Call{Unread: classify.UnreadLength},
		Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, Unread: classify.UnreadLength},
	}, record.Span{})
	m.Observe(&classify.Observation{Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, Unread: classify.UnreadCoding}}, record.Span{})
	m.Observe(&classify.Observation{Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess}}, record.Span{})
	for reason, want := range map[string]float64{"length": 2, "coding": 1, "charset": 0} {
		v, _ := value(t, m, "ksyun_tap_unread_bodies_total", map[string]string{"reason": reason})
		assert.Equal(t, want, v, "%s counted %v times, want %v", reason, v, want)
	}
}

func TestUnknownCodesBeyondTheLimitAreOther(t *testing.T) {
	m := metrics.New()
	observe := func(v classify.Verdict) {
		v.Outcome, v.Status, v.Type, v.Category = classify.OutcomeError, 400, classify.TypeSender, classify.CategoryUnknown
		m.Observe(&classify.Observation{Verdict: v}, record.Span{})
	}
	for i := range metrics.MaxUnknownCodes + 5 {
		observe(classify.Verdict{Code: "Code" + strconv.Itoa(i)})
	}
	observe(classify.Verdict{
		Code: "Known", Match: classify.MatchCode,
		Entry: &classify.Entry{Code: "Known", Grade: classify.GradeDocumented},
	})

	codes := make(map[string]float64)
	for _, s := range gather(t, m)["ksyun_api_errors_total"].GetMetric() {
		for _, l := range s.GetLabel() {
			if l.GetName() == "code" {
				codes[l.GetValue()] += s.GetCounter().GetValue()
			}
		}
	}
	if codes["_other"] != 5 || codes["Code0"] != 1 || codes["Known"] != 1 || len(codes) != metrics.MaxUnknownCodes+2 {
		t.Errorf("codes %v, want the first %d, Known, and 5 under _other", codes, metrics.MaxUnknownCodes)
	}
	v, _ := value(t, m, "ksyun_tap_label_overflow_total", map[string]string{"label": "code"})
	assert.EqualValues(t, 5, v, "overflow counted")
}

// TestKeysAreNoLabels checks that what looks like a key is no label, whoever
// made the verdict.
func TestKeysAreNoLabels(t *testing.T) {
	m := metrics.New()
	for _, key := range []string{"AKLTyl2l3e5gQAKkv7oEwH2O8g", "InvalidAccessKey.AKLTyl2l3e5gQAKkv7oEwH2O8g", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", strings.Repeat("0aF9", 10)} {
		m.Observe(&classify.Observation{
			Call:    classify.Call{Service: key, Action: key, Version: key, Region: key},
			Verdict: classify.Verdict{Outcome: classify.OutcomeError, Status: 403, Code: key, RequestID: classify.MakeRequestID(key)},
		}, record.Span{})
	}
	body, _ := scrape(t, m, openMetrics)
	for _, part := range []string{"AKLT", "eyJ", "0aF90aF9"} {
		assert.NotContains(t, body, part, "is in the metrics")
	}
	assert.Contains(t, body, `code="_other"`, "the code is not counted as _other")
}
