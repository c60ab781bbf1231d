package logs_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestParse checks that the record of every kind of failure is read from its line.
func TestParse(t *testing.T) {
	for _, a := range attempt.All() {
		if !a.Observation.Verdict.Outcome.Failed() && !a.Observation.Fault.Refused() {
			continue
		}
		r := new(record.Maker).Identified(a.Observation, &record.Identity{Span: record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1, Exported: true}})
		r.ID, r.Group, r.CallID, r.Attempt = "1m4q7t9k2zjx7f2", "m3d1x69fmnqac", "90f8d68dec48708b", 2
		r.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
		r.Scope = diagnosis.Scope{Since: r.Time.Add(-time.Hour), Extent: diagnosis.Text{English: "all regions"}}
		var out buffer
		l := newLogger(t, logs.Config{Writer: &out})
		logs.NewEvents(l.Logger, logs.EventsConfig{Access: true}).Write(r)
		require.NoError(t, l.Close())
		var line map[string]any
		dec := json.NewDecoder(strings.NewReader(out.String()))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&line))
		fields := map[string]string{}
		for key, value := range line {
			fields[key] = fmt.Sprint(value)
		}
		parsed := record.Parse(fields)
		got, want := values(t, parsed), values(t, r)
		got["scope"], want["scope"] = parsed.Scope.Sentence(diagnosis.English, "", parsed.Time), r.Scope.Sentence(diagnosis.English, r.Blame, r.Time)
		if !reflect.DeepEqual(got, want) {
			for key := range want {
				assert.Equal(t, want[key], got[key], "%s: %s is", a.Name, key)
			}
			t.Errorf("%s: got %v", a.Name, got)
		}
	}
}

// values returns the fields of a record that a line has or that follow from those.
func values(t *testing.T, r *record.Record) map[string]any {
	t.Helper()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(b, &all))
	for _, key := range []string{"match", "requested_items", "failed_item_names", "diagnoses", "catalog_code", "meaning"} {
		delete(all, key) // by the response, which a line does not have
	}
	start, err := time.Parse(time.RFC3339Nano, all["start"].(string))
	require.NoError(t, err)
	all["start"] = start.Round(time.Microsecond).String() // from the duration, a number of seconds
	all["cause"] = ""
	if c := r.Cause(); c != nil {
		all["cause"] = c.Cause
	}
	return all
}
