package record_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestMakerRemembersNothingElse checks that a Maker makes the same records as New,
// whatever it made before: also of texts that differ only in what is redacted, cut or
// escaped.
func TestMakerRemembersNothingElse(t *testing.T) {
	var all []classify.Observation
	for _, a := range attempt.All() {
		all = append(all, *a.Observation)
	}
	for _, text := range []string{
		"", "/", "/?a=1", "/?a=2", "/?password=1", "/?a=\x1b[31m", "/?AWSAccessKeyId=AKLTexampleexampleexample&Action=X",
		"/?a=" + strings.Repeat("1.", 200), "/?a=" + strings.Repeat("1.", 2000),
	} {
		o := all[0]
		o.Target, o.UserAgent = []byte(text), []byte("agent "+text)
		all = append(all, o)
		o.Port = 8080
		all = append(all, o)
		o.Call.Host = "password=hunter2hunter2"
		all = append(all, o)
		o.Call.Host, o.Verdict.Code, o.Verdict.Message = text, text, text
		all = append(all, o)
	}
	var m record.Maker
	for range 3 {
		for i := range all {
			if got, want := m.New(&all[i]), new(record.Maker).New(&all[i]); !reflect.DeepEqual(got, want) {
				t.Errorf("%q:\n%+v, want\n%+v", all[i].Target, got, want)
			}
		}
	}
}

// TestMakerAllocates checks that of a failure that occurs again, only the record and
// its request ID take memory.
func TestMakerAllocates(t *testing.T) {
	o := *attempt.All()[0].Observation
	o.Target, o.Traceparent, o.Tracestate = []byte("/?Action=ListMetrics"), nil, nil
	var m record.Maker
	m.New(&o)
	if n := testing.AllocsPerRun(100, func() { m.New(&o) }); n > 2 {
		t.Errorf("%g allocations, want at most 2", n)
	}
	o.Target = []byte("/?Action=ListMetrics&Signature=hunter2hunter2")
	id := record.Identity{
		ID: record.NewIDs().Next(o.End), Span: record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}}, Attempt: diagnosis.Attempt{CallID: 3, Number: 1},
	}
	if n := testing.AllocsPerRun(100, func() { m.Identified(&o, &id) }); n > 3 {
		t.Errorf("%g allocations for another URL and all IDs, want at most 3", n)
	}
}

// TestIdentity checks what identifies an attempt, with each part of it missing.
func TestIdentity(t *testing.T) {
	ids := record.NewIDs()
	o := attempt.Get("error_throttled")
	full := record.Identity{
		ID: ids.Next(o.End), Span: record.Span{TraceID: [16]byte{0xab}, SpanID: [8]byte{0xcd}, Flags: 3},
		Attempt: diagnosis.Attempt{CallID: 0xef, Number: 2, Result: diagnosis.RetrySucceeded},
	}
	var known record.Maker
	plain := known.New(o)
	for parts := range 8 {
		id, want := full, *plain
		if parts&1 == 0 {
			id.ID = record.ID{}
		} else {
			want.ID = id.ID.String()
		}
		if parts&2 == 0 {
			id.Span = record.Span{}
		} else {
			want.TraceID, want.SpanID, want.TraceFlags = "ab000000000000000000000000000000", "cd00000000000000", 3
		}
		if parts&4 == 0 {
			id.Attempt.CallID = 0
		} else {
			want.CallID, want.Attempt, want.CallOutcome = "00000000000000ef", 2, diagnosis.CallSuccessAfterRetry
		}
		assert.Equal(t, &want, known.Identified(o, &id), "a known URL")
		assert.Equal(t, &want, new(record.Maker).Identified(o, &id), "another URL")
	}
}
