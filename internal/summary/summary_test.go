package summary

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestUnobservedInTheSummary checks that the summary lists what was not observed, the
// most frequent first, and stays short.
func TestUnobservedInTheSummary(t *testing.T) {
	var u Hosts
	for range 3 {
		u.Add(collector.Unobserved{Host: "registry", Port: 5000})
	}
	u.Add(collector.Unobserved{Host: "fd00::1", Port: 9091})
	u.Add(collector.Unobserved{Host: "monitor.api.ksyun.com", Port: 443, Tapped: true})
	print := func() string {
		var out bytes.Buffer
		require.NoError(t, (Summary{Unobserved: u.list()}).Print(&out))
		return out.String()
	}
	want := "ksyun-tap: no call was seen, because the program does not trust the tap's CA, so its connections were tunnelled unobserved\n" +
		"not observed, because a program does not trust the tap's CA: monitor.api.ksyun.com:443 (1)\n" +
		"not observed, because not tapped: registry:5000 (3), [fd00::1]:9091 (1)\n"
	if got := print(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i := range 2 * maxHosts {
		u.Add(collector.Unobserved{Host: fmt.Sprintf("h%04d", i), Port: 80})
	}
	if n := len(u.list()); n != maxHosts+1 {
		t.Errorf("%d hosts are kept", n)
	}
	if got := print(); len(got) > 2000 || !strings.Contains(got, " more\n") {
		t.Errorf("got %d bytes", len(got))
	}
}

// TestSummaryOfFailures checks that each kind of failure has its own count and its
// own newest example.
func TestSummaryOfFailures(t *testing.T) {
	m, g := metrics.New(), groups.New(0)
	classifier, ids := classify.New(classify.DefaultCatalog()), record.NewIDs()
	call := func(action string, status int, body, id string) {
		o := &classify.Observation{Call: classify.Call{Action: action}}
		o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: status, Body: []byte(body)})
		o.Verdict.RequestID = classify.MakeRequestID(id)
		m.Observe(o, record.Span{})
		if o.Verdict.Outcome.Failed() {
			r := new(record.Maker).New(o)
			r.ID = ids.Next(o.End).String()
			g.Add(r)
		}
	}
	coded := `{"Error":{"Code":"SomethingNew","Message":"bad"},"RequestId":"x"}`
	call("ListMetrics", 400, `no JSON`, "none-1")
	call("ListMetrics", 400, coded, "coded-1")
	call("ListMetrics", 200, `{}`, "fine")
	call("GetMetricStatistics", 400, coded, "other-action")
	call("ListMetrics", 400, coded, "coded-2")
	call("", 400, coded, "no-action")

	s := New(m, g, &Hosts{}, true)
	if s.Calls != 6 || s.Failed != 5 {
		t.Errorf("%d calls, %d failed", s.Calls, s.Failed)
	}
	var got []string
	for _, f := range s.Failures {
		got = append(got, fmt.Sprintf("%s %s %d %d %s", f.Action, f.Code, f.Status, f.Count, strings.Join(f.RequestIDs, " ")))
		if f.RequestID != f.RequestIDs[0] {
			t.Errorf("request_id is %s, request_ids are %s", f.RequestID, f.RequestIDs)
		}
	}
	slices.Sort(got)
	want := []string{
		" SomethingNew 400 1 no-action",
		"GetMetricStatistics SomethingNew 400 1 other-action",
		"ListMetrics  400 1 none-1",
		"ListMetrics SomethingNew 400 2 coded-2 coded-1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNoCallSeen checks that a summary without calls says why there are none.
func TestNoCallSeen(t *testing.T) {
	for _, c := range []struct {
		want string
		s    Summary
	}{
		{"nothing connected to the tap", Summary{}},
		{"sent no complete request", Summary{connected: true}},
		{"only hosts that are not tapped", Summary{connected: true, Unobserved: []Unobserved{{Host: "a:443", Count: 1}}}},
		{"does not trust the tap's CA", Summary{connected: true, Unobserved: []Unobserved{{Host: "a:443", Count: 1}, {Host: "b:443", Count: 1, Distrusts: true}}}},
	} {
		var out strings.Builder
		if err := c.s.Print(&out); err != nil || !strings.HasPrefix(out.String(), "ksyun-tap: no call was seen, because ") || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v, no %q in %s", err, c.want, out.String())
		}
	}
}
