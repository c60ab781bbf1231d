package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/explain"
	"github.com/ksyun-tap/ksyun-tap/internal/responses"
	"github.com/ksyun-tap/ksyun-tap/internal/summary"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// vocabulary is a set of JSON keys and the JSON types of their values.
type vocabulary map[string]string

// TestOneVocabulary checks that a key has the same meaning, as far as its name and
// type show it, in the API, in log lines, in metrics, and in what the verbs print.
// docs/api.md describes every key once.
func TestOneVocabulary(t *testing.T) {
	all := vocabulary{}
	for _, source := range []struct {
		name string
		keys vocabulary
		// flat are keys whose value is an object elsewhere, and one of its texts here.
		flat []string
	}{
		{"a failure", vocabularyOf(t, record.Record{}), nil},
		{"a group", vocabularyOf(t, groups.Group{}), nil},
		{"exec --summary=json", vocabularyOf(t, summary.Failure{}), nil},
		{"classify", vocabularyOf(t, responses.Reading{}), nil},
		{"explain CODE", vocabularyOf(t, explain.Entry{Entry: &classify.Entry{}}), nil},
		{"explain CAUSE", vocabularyOf(t, diagnosis.Description{}), nil},
		{"doctor", vocabularyOf(t, diagnosis.Diagnosis{}), nil},
		{"a notice", vocabularyOf(t, diagnosis.Notice{}), nil},
		{"a log line", loggedVocabulary(t), []string{"advice", "evidence", "scope"}},
		{"a program", vocabularyOf(t, diagnosis.Client{}), nil},
	} {
		for key, kind := range source.keys {
			if slices.Contains(source.flat, key) {
				continue
			}
			if known, ok := all[key]; ok && known != kind {
				t.Errorf("%s: %s is of type %s, elsewhere %s", source.name, key, kind, known)
			}
			all[key] = kind
		}
	}
	for _, f := range metrics.Describe() {
		if !strings.HasPrefix(f.Name, "ksyun_api_") {
			continue
		}
		for _, label := range f.Labels {
			// What reason and limit are of depends on the metric.
			if _, ok := all[label]; !ok && label != "reason" && label != "limit" {
				t.Errorf("%s: the label %s is no key", f.Name, label)
			}
		}
	}
	documented := documentedKeys(t)
	for key, kind := range all {
		if documented[key] != kind {
			t.Errorf("docs/api.md: %s is of type %q, want %s", key, documented[key], kind)
		}
	}
	for key := range documented {
		if _, ok := all[key]; !ok {
			t.Errorf("docs/api.md describes %s, which no output has", key)
		}
	}
}

// vocabularyOf returns the keys of a value as it is encoded, with every field set.
func vocabularyOf(t *testing.T, value any) vocabulary {
	t.Helper()
	v := reflect.New(reflect.TypeOf(value)).Elem()
	fill(v)
	b, err := json.Marshal(v.Interface())
	require.NoError(t, err)
	return decoded(t, b)
}

// decoded returns the keys of an encoded object.
func decoded(t *testing.T, b []byte) vocabulary {
	t.Helper()
	var object map[string]any
	require.NoError(t, json.Unmarshal(b, &object))
	keys := vocabulary{}
	for key, value := range object {
		switch value.(type) {
		case string:
			keys[key] = "string"
		case float64:
			keys[key] = "number"
		case bool:
			keys[key] = "boolean"
		case []any:
			keys[key] = "array"
		case map[string]any:
			keys[key] = "object"
		default:
			t.Errorf("%s is %v", key, value)
		}
	}
	return keys
}

// fill sets every exported field to a value that is not zero.
func fill(v reflect.Value) {
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)
		return
	case *netip.AddrPort:
		*value = netip.MustParseAddrPort("192.0.2.7:80")
		return
	case *classify.Outcome:
		*value = classify.OutcomeError
		return
	case *diagnosis.Certainty:
		*value = diagnosis.Certain
		return
	case **record.Record: // a group's last one is not encoded
		return
	}
	switch v.Kind() { //nolint:exhaustive // the others are not used
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		fill(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

// loggedVocabulary returns the keys of log lines. The keys that every log has, and
// that of the message's own text, are left out.
func loggedVocabulary(t *testing.T) vocabulary {
	t.Helper()
	r := &record.Record{}
	fill(reflect.ValueOf(r).Elem())
	r.Diagnoses[0].Certainty = diagnosis.Certain
	core, lines := observer.New(zap.DebugLevel)
	logs.NewEvents(zap.New(core), logs.EventsConfig{}).Write(r)
	if lines.Len() != 1 {
		t.Fatalf("%d lines", lines.Len())
	}
	b, err := json.Marshal(lines.All()[0].ContextMap())
	require.NoError(t, err)
	return decoded(t, b)
}

var keyRow = regexp.MustCompile("^\\| `([a-z_]+)` \\| ([a-z]+) \\|")

// documentedKeys returns the keys in the table of docs/api.md.
func documentedKeys(t *testing.T) vocabulary {
	t.Helper()
	text := testfile.Read(t, "../../docs/api.md")
	_, text, _ = bytes.Cut(text, []byte("\n## Keys\n"))
	text, _, _ = bytes.Cut(text, []byte("\n## "))
	keys := vocabulary{}
	for line := range strings.Lines(string(text)) {
		if m := keyRow.FindStringSubmatch(line); m != nil {
			if _, twice := keys[m[1]]; twice {
				t.Errorf("docs/api.md describes %s twice", m[1])
			}
			keys[m[1]] = m[2]
		}
	}
	if len(keys) == 0 {
		t.Fatal("docs/api.md has no table of keys")
	}
	return keys
}
