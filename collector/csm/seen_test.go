package csm

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const agent = "aws-sdk-go/1.25.3 (go1.21.5; linux; amd64)"

// proxied returns an attempt as the proxy reports it.
func proxied(status int, id string, start, end time.Time) *classify.Observation {
	return &classify.Observation{
		Call:       classify.Call{Service: "monitor", Action: "GetMetricStatistics", Version: "2010-05-25", Region: "cn-beijing-6"},
		Verdict:    classify.Verdict{Status: status, RequestID: classify.MakeRequestID(id)},
		Source:     classify.SourceForward,
		Start:      start,
		End:        end,
		UserAgent:  []byte(agent),
		Credential: classify.HashAccessKey(key, []byte(accessKey)),
	}
}

func TestSeen(t *testing.T) {
	const other = "00000000-1111-4222-8333-444444444444"
	start, end := sent.Add(-35*time.Millisecond), sent.Add(-time.Millisecond)
	with := func(o *classify.Observation, change func(*classify.Observation)) *classify.Observation {
		change(o)
		return o
	}
	for _, tt := range []struct {
		name, record string
		proxied      *classify.Observation
		want         match
	}{
		{"by ID", "throttled", proxied(409, requestID, start, end), seenByID},
		{"by ID, whatever the time", "throttled", proxied(409, requestID, start.Add(-time.Hour), end.Add(-time.Hour)), seenByID},
		{"another ID", "throttled", proxied(409, other, start, end), seenNot},
		{"the proxy has no ID", "throttled", proxied(409, "", start, end), seenByTime},
		{"success", "success", proxied(200, requestID, start, end), seenByTime},
		{"the message was cut", "cut-id", proxied(400, requestID, start, end), seenByTime},
		{"no response", "closed", proxied(0, "", start, end), seenByTime},
		{"a response that broke off", "closed", proxied(200, "", start, end), seenByTime},
		{"another status", "success", proxied(500, requestID, start, end), seenNot},
		{"a bit late", "success", proxied(200, "", start, sent.Add(slack)), seenByTime},
		{"too late", "success", proxied(200, "", start, sent.Add(slack+time.Millisecond)), seenNot},
		{"began before", "success", proxied(200, "", sent.Add(-39*time.Millisecond-slack), end), seenNot},
		{"another action", "success", with(proxied(200, "", start, end), func(o *classify.Observation) { o.Call.Action = "ListMetrics" }), seenNot},
		{"another key", "success", with(proxied(200, "", start, end), func(o *classify.Observation) { o.Credential = "0123" }), seenNot},
		{"another program", "success", with(proxied(200, "", start, end), func(o *classify.Observation) { o.UserAgent = []byte("curl/8") }), seenNot},
		{"refused by the tap", "success", with(proxied(200, "", start, end), func(o *classify.Observation) { o.Fault = classify.FaultHostRefused }), seenNot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &book{}
			seen := NewSeen(b)
			seen.Begin(&tt.proxied.Call)
			seen.Observe(tt.proxied)
			require.Len(t, b.begun, 1, "not passed on")
			require.Len(t, b.reported, 1, "not passed on")
			in := newIntake(t, b, func(c *Config) { c.Seen = seen })
			assert.Equal(t, tt.want, seen.take(in.read(payload(t, tt.record), nil)))
			assert.Equal(t, seenNot, seen.take(in.read(payload(t, tt.record), nil)), "one attempt made two records known")
		})
	}
}

// TestSeenManyAlike checks the numbers where many alike run at once: as many
// records are known as passed the proxy, in whatever order they come.
func TestSeenManyAlike(t *testing.T) {
	b := &book{}
	seen := NewSeen(b)
	in := newIntake(t, b, func(c *Config) { c.Seen = seen })
	for i := range 30 {
		seen.Observe(proxied(200, "", sent.Add(time.Duration(i-35)*time.Millisecond), sent))
	}
	for range 40 {
		in.report(in.read(payload(t, "success"), nil))
	}
	assert.EqualValues(t, 30, in.Stats().DuplicatesByTime, "known")
	assert.Len(t, b.all(), 40, "reported, want 30 of the proxy and 10 others")
}

// TestSeenForgets checks that memory is bounded.
func TestSeenForgets(t *testing.T) {
	seen := NewSeen(&book{})
	in := newIntake(t, &book{}, nil)
	seen.Observe(proxied(409, requestID, sent, sent))
	for range maxSeen {
		seen.note(sighting{})
	}
	assert.Equal(t, seenNot, seen.take(in.read(payload(t, "throttled"), nil)))
}

// quiet is a sink that does nothing.
type quiet struct{}

func (quiet) Begin(*classify.Call)          {}
func (quiet) Observe(*classify.Observation) {}

// TestSeenAllocatesNothing: it is on the way of every call the proxy relays.
func TestSeenAllocatesNothing(t *testing.T) {
	seen, o := NewSeen(quiet{}), proxied(200, requestID, sent, sent)
	n := testing.AllocsPerRun(100, func() { seen.Observe(o) })
	assert.Zero(t, n, "allocations")
}

func BenchmarkSeenObserve(b *testing.B) {
	seen, o := NewSeen(quiet{}), proxied(200, requestID, sent, sent)
	b.ReportAllocs()
	for b.Loop() {
		seen.Observe(o)
	}
}

// BenchmarkRecord measures one record from the datagram to the sink, held
// against a full memory.
func BenchmarkRecord(b *testing.B) {
	seen := NewSeen(quiet{})
	for range maxSeen {
		seen.note(sighting{})
	}
	in, err := New(Config{Classifier: classifier, Sink: quiet{}, CredentialKey: key, Seen: seen})
	if err != nil {
		b.Fatal(err)
	}
	datagram := payload(b, "throttled")
	b.ReportAllocs()
	for b.Loop() {
		in.report(in.read(datagram, nil))
	}
}
