package record_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify"
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
}
