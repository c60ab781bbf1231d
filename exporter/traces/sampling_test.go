package traces

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

func TestTraceIDIsTheRequestID(t *testing.T) {
	for id, want := range map[string]string{
		"0f8fad5b-d9cb-469f-a165-70867728950e": "0f8fad5bd9cb469fa16570867728950e",
		"0F8FAD5B-D9CB-469F-A165-70867728950E": "0f8fad5bd9cb469fa16570867728950e",
		"00000000-0000-4000-8000-000000000000": "00000000000040008000000000000000",

		// The last 56 bits of others are not known to be random.
		"":                                        "",
		"0f8fad5bd9cb469fa16570867728950e":        "",
		"0f8fad5b-d9cb-169f-a165-70867728950e":    "", // version 1
		"0f8fad5b-d9cb-769f-a165-70867728950e":    "", // version 7
		"0f8fad5b-d9cb-469f-c165-70867728950e":    "", // another variant
		"0f8fad5b-d9cb-469f-a165-70867728950":     "",
		"0f8fad5b-d9cb-469f-a165-70867728950e0":   "",
		"0f8fad5bd-9cb-469f-a165-70867728950e":    "",
		"0f8fad5b-d9cb-469f-a165-70867728950g":    "",
		"0f8fad5b-d9cb-469f-a165-708677289\x100e": "",
		"req-1": "",
	} {
		request := classify.MakeRequestID(id)
		got := traceIDOf(&request)
		if want != "" && trace.TraceID(got).String() != want {
			t.Errorf("%q: trace ID %x, want %s", id, got, want)
		}
		if want == "" && (got == traceIDOf(&request) || !trace.TraceID(got).IsValid()) {
			t.Errorf("%q: trace ID %x is not random", id, got)
		}
	}
}

func TestThreshold(t *testing.T) {
	for _, tt := range []struct {
		ratio float64
		want  string // as in the trace state; "" keeps nothing
	}{
		{1, "0"},
		{7, "0"},
		{0.5, "8"},
		{0.25, "c"},
		{0.1, "e6666666666666"},
		{0.01, "fd70a3d70a3d71"},
		{1e-16, "fffffffffffff9"},
		{1e-30, ""},
		{0, ""},
		{-1, ""},
		{math.NaN(), ""},
	} {
		got := thresholdOf(tt.ratio)
		if got == maxThreshold {
			assert.Empty(t, tt.want, "ratio %g keeps nothing, want threshold", tt.ratio)
			continue
		}
		assert.Equal(t, tt.want, formatThreshold(got), "ratio %g: threshold", tt.ratio)
	}
}

func TestWithThreshold(t *testing.T) {
	long := "x:" + strings.Repeat("y", 240)
	for _, tt := range []struct{ state, want string }{
		{"", "ot=th:c"},
		{"vendor=1", "ot=th:c,vendor=1"},
		{"vendor=1,ot=th:8", "ot=th:c,vendor=1"},
		{"ot=rv:0123456789abcd;th:8;p:1,vendor=1", "ot=th:c;rv:0123456789abcd;p:1,vendor=1"},
		{"ot=" + long, "ot=th:c;" + long},
		{"ot=" + long + "yyyyyyyyyy", "ot=th:c"}, // it would be too long
	} {
		state, err := trace.ParseTraceState(tt.state)
		require.NoError(t, err)
		assert.Equal(t, tt.want, withThreshold(state, 0xc0000000000000).String(), "%q became", tt.state)
	}
}

// TestSamplingIsConsistent checks that a trace that is kept at a ratio is kept at
// every higher one, whichever tap decides.
func TestSamplingIsConsistent(t *testing.T) {
	some, more := &Tracer{queue: &otlp.Queue[recorded]{}}, &Tracer{queue: &otlp.Queue[recorded]{}}
	some.SetSuccessRatio(0.2)
	more.SetSuccessRatio(0.4)
	kept := map[*Tracer]int{}
	const n = 10_000
	for range n {
		o := &classify.Observation{Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, RequestID: newUUID4()}}
		a, b := some.Decide(o), more.Decide(o)
		if a.Exported {
			kept[some]++
		}
		if b.Exported {
			kept[more]++
			if randomness(b.TraceID) < b.Threshold || b.Flags != 3 {
				t.Fatalf("%+v is kept", b)
			}
		}
		if a.Exported && (!b.Exported || a.TraceID != b.TraceID) {
			t.Fatalf("%s is kept at 20 %% but not at 40 %%", o.Verdict.RequestID)
		}
	}
	if kept[some] < n/5-300 || kept[some] > n/5+300 || kept[more] < 2*n/5-350 || kept[more] > 2*n/5+350 { // seven standard deviations
		t.Errorf("%d and %d of %d kept", kept[some], kept[more], n)
	}
}

// newUUID4 returns a random request ID.
func newUUID4() classify.RequestID {
	id := newTraceID()
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := trace.TraceID(id).String()
	return classify.MakeRequestID(strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-"))
}

func BenchmarkTraceIDOf(b *testing.B) {
	id := newUUID4()
	b.ReportAllocs()
	for b.Loop() {
		traceIDOf(&id)
	}
}
