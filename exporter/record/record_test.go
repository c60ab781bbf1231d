package record_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
)

func TestJSON(t *testing.T) {
	var got bytes.Buffer
	for _, a := range attempt.All() {
		b, err := json.MarshalIndent(new(record.Maker).New(a.Observation), "", "  ")
		require.NoError(t, err)
		got.WriteString("// " + a.Name + "\n")
		got.Write(b)
		got.WriteByte('\n')
	}
	golden.Check(t, "testdata/records.golden", got.Bytes())
}

// TestForeignTextIsScrubbed checks the texts that no verdict holds.
func TestForeignTextIsScrubbed(t *testing.T) {
	const key = "AKLTyl2l3e5gQAKkv7oEwH2O8g"
	o := &classify.Observation{
		Call:       classify.Call{Service: key, Action: key, Version: key, Region: key, Host: key + ".example"},
		Verdict:    classify.Verdict{Outcome: classify.OutcomeError, Code: "E." + key, Inner: key, Message: "password=hunter2 \u202e"},
		Target:     []byte("/?passphrase=hunter2&x=%E2%80%AE"),
		UserAgent:  []byte("tool/1 api_key=hunter2 \u009b31m"),
		Tracestate: []byte("vendor=token:hunter2"),
	}
	b, err := json.Marshal(new(record.Maker).New(o))
	require.NoError(t, err)
	text := string(b) + record.DetailsOf(o).Tracestate
	for _, bad := range []string{key, "hunter2", "\u202e", "\u009b"} {
		assert.NotContains(t, text, bad, "%q is in %s", bad, text)
	}
	o.Tracestate = []byte("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
	got := record.DetailsOf(o).Tracestate
	assert.Equal(t, string(o.Tracestate), got, "tracestate %q, want it kept", got)
}

func TestKind(t *testing.T) {
	entry := &classify.Entry{Code: "Throttling", Grade: classify.GradeDocumented}
	placeholder := &classify.Entry{Code: "OurName", Grade: classify.GradePlaceholder}
	tests := []struct {
		name string
		o    classify.Observation
		want string
	}{
		{"known code", classify.Observation{Verdict: classify.Verdict{Code: "throttling", Entry: entry, Match: classify.MatchCode, Status: 409}}, "Throttling"},
		{"known by message only", classify.Observation{Verdict: classify.Verdict{Entry: entry, Match: classify.MatchMessage, Status: 409}}, "409"},
		{"unknown code", classify.Observation{Verdict: classify.Verdict{Code: "Whatever", Status: 400}}, "_OTHER"},
		{"our own name for it", classify.Observation{Verdict: classify.Verdict{Code: "Whatever", Entry: placeholder, Match: classify.MatchCode, Status: 400}}, "_OTHER"},
		{"no code", classify.Observation{Verdict: classify.Verdict{Status: 503}}, "503"},
		{"no code in a 200", classify.Observation{Verdict: classify.Verdict{Status: 200}}, "_OTHER"},
		{"fault", classify.Observation{Fault: classify.FaultTLS, Verdict: classify.Verdict{Status: 200, Code: "x"}}, "tls"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Verdict.Outcome = classify.OutcomeError
			assert.Equal(t, tt.want, new(record.Maker).New(&tt.o).Kind, "kind")
		})
	}
	got := new(record.Maker).New(attempt.Get("canceled")).Kind
	assert.Empty(t, got, "kind of a canceled call %q, want none", got)
}

func TestURL(t *testing.T) {
	tests := []struct {
		name, scheme, host, target string
		port                       uint16
		want                       string
	}{
		{"own port", "http", "monitor.api.ksyun.com", "/?a=b", 80, "http://monitor.api.ksyun.com/?a=b"},
		{"own port of TLS", "https", "monitor.api.ksyun.com", "/", 443, "https://monitor.api.ksyun.com/"},
		{"other port", "http", "monitor.api.ksyun.com", "/", 443, "http://monitor.api.ksyun.com:443/"},
		{"address", "https", "2001:db8::1", "/", 8443, "https://[2001:db8::1]:8443/"},
		{"no host", "http", "", "/?a=b", 80, "/?a=b"},
		{"nothing", "", "", "", 0, ""},
		{"host alone", "", "monitor.api.ksyun.com", "", 0, ""},
		{"secret", "http", "h.ksyun.com", "/?Signature=abcdef&x=1", 80, "http://h.ksyun.com/?Signature=REDACTED&x=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &classify.Observation{
				Call: classify.Call{Host: tt.host}, Scheme: tt.scheme, Port: tt.port, Target: []byte(tt.target),
			}
			assert.Equal(t, tt.want, new(record.Maker).New(o).URL, "URL")
		})
	}
}

// TestEveryTextIsBoundedAndValid fills every text with more than it may hold.
func TestEveryTextIsBoundedAndValid(t *testing.T) {
	for _, fill := range []string{strings.Repeat("金", 1<<15), strings.Repeat("a\xff", 1<<15)} {
		o := &classify.Observation{
			Call: classify.Call{Service: fill, Action: fill, Version: fill, Region: fill, Host: fill},
			Verdict: classify.Verdict{
				Outcome: classify.OutcomeError, Code: fill, Inner: fill, Message: fill,
				Entry: &classify.Entry{Code: fill},
			},
			Method: fill, Scheme: "http", Port: 81, Target: []byte("/" + fill), UserAgent: []byte(fill),
			Traceparent: []byte(fill), Tracestate: []byte(fill), Credential: fill,
		}
		r := new(record.Maker).New(o)
		diagnoses := fullDiagnoses()
		r.Diagnose(diagnoses)
		size := len(diagnoses) * int(reflect.TypeOf(diagnoses[0]).Size())
		for _, d := range diagnoses {
			size += len(d.Evidence.English) + len(d.Evidence.Chinese) + len(d.Advice.Do.English) + len(d.Advice.Do.Chinese)
		}
		size += int(reflect.TypeOf(*r).Size())
		v := reflect.ValueOf(*r)
		for i := range v.NumField() {
			if v.Field(i).Kind() != reflect.String {
				continue
			}
			s := v.Field(i).String()
			size += len(s)
			if !utf8.ValidString(s) {
				t.Errorf("%s is no valid UTF-8", v.Type().Field(i).Name)
			}
		}
		assert.LessOrEqual(t, size, record.MaxBytes, "%d bytes, documented are at most %d", size, record.MaxBytes)
		assert.GreaterOrEqual(t, size, record.MaxBytes/2, "%d bytes of %d: the bound is idle", size, record.MaxBytes)
		assert.True(t, strings.HasSuffix(r.Message, "..."), "a message that was cut does not show it")

		o.MethodOriginal = []byte(fill)
		d := record.DetailsOf(o)
		for _, s := range []string{d.MethodOriginal, d.Traceparent, d.Tracestate} {
			assert.LessOrEqual(t, len(s), 512)
			assert.True(t, utf8.ValidString(s), "%q is no valid UTF-8", s)
		}
	}
}

// TestTextBytes fills every text.
func TestTextBytes(t *testing.T) {
	r := &record.Record{
		FailedItemNames: []string{"ab", "c"},
		Diagnoses: []diagnosis.Diagnosis{
			{Evidence: diagnosis.Text{English: "d", Chinese: "ef"}},
			{Advice: diagnosis.Advice{Do: diagnosis.Text{English: "g", Chinese: "hi"}}},
		},
		Scope: diagnosis.Scope{Extent: diagnosis.Text{English: "j", Chinese: "kl"}},
	}
	want := len("abcdefghijkl")
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		// What the API does not have is one of few constants.
		if v.Field(i).Type() == reflect.TypeFor[string]() && v.Type().Field(i).Tag.Get("json") != "-" {
			v.Field(i).SetString(strings.Repeat("x", i))
			want += i
		}
	}
	assert.Equal(t, want, r.TextBytes())
}

// fullDiagnoses returns as many diagnoses as there can be, as long as they can be.
func fullDiagnoses() []diagnosis.Diagnosis {
	long := strings.Repeat("x", 400)
	text := diagnosis.Text{English: long, Chinese: long}
	d := diagnosis.Diagnosis{Cause: "scope_date", Certainty: diagnosis.Certain, Summary: text, Evidence: text, Advice: diagnosis.Advice{Do: text}}
	return slices.Repeat([]diagnosis.Diagnosis{d}, diagnosis.MaxDiagnoses)
}

// TestDiagnose checks which diagnosis is taken for the cause.
func TestDiagnose(t *testing.T) {
	of := func(certainties ...diagnosis.Certainty) (all []diagnosis.Diagnosis) {
		for _, c := range certainties {
			all = append(all, diagnosis.Diagnosis{Cause: diagnosis.Cause(c), Certainty: c, Advice: diagnosis.Advice{Do: diagnosis.Text{English: "do " + string(c)}}})
		}
		return all
	}
	f := func(all []diagnosis.Diagnosis, want diagnosis.Cause) {
		t.Helper()
		r := new(record.Maker).New(attempt.Get("error_signature"))
		advice := r.Advice.Do.English
		r.Diagnose(all)
		got := diagnosis.Cause("")
		if c := r.Cause(); c != nil {
			got, advice = c.Cause, "do "+string(c.Cause)
		}
		if got != want || r.Advice.Do.English != advice {
			t.Errorf("%v: cause %q, advice %q, want %q", all, got, r.Advice.Do.English, want)
		}
	}
	f(nil, "")
	f(of(diagnosis.Certain, diagnosis.Excluded), "certain")
	f(of(diagnosis.Likely, diagnosis.Possible), "likely")
	f(of(diagnosis.Possible), "")
	f(of(diagnosis.Excluded), "")
}

func TestRecordSharesNothingWithBuffers(t *testing.T) {
	o := attempt.Get("error_signature")
	o.Traceparent = []byte("00-01000000000000000000000000000000-0200000000000000-01")
	r := new(record.Maker).New(o)
	before, err := json.Marshal(r)
	require.NoError(t, err)
	d := record.DetailsOf(o)
	traceparent := strings.Clone(d.Traceparent)
	for _, b := range [][]byte{o.Target, o.UserAgent, o.Traceparent} {
		for i := range b {
			b[i] = '!'
		}
	}
	after, err := json.Marshal(r)
	require.NoError(t, err)
	if !bytes.Equal(before, after) || d.Traceparent != traceparent {
		t.Errorf("the record changed with the collector's buffers:\n%s\n%s", before, after)
	}
}

func TestNoSecret(t *testing.T) {
	for _, a := range attempt.All() {
		o := a.Observation
		o.UserAgent = []byte("curl/8 Authorization: AWS4-HMAC-SHA256 Credential=" + attempt.AccessKey + ", Signature=" + attempt.Signature)
		o.Verdict.Message = "bad SecurityToken=" + attempt.Token + " of AccessKey " + attempt.AccessKey + " with " + attempt.Signature
		b, err := json.Marshal(new(record.Maker).New(o))
		require.NoError(t, err)
		for _, secret := range []string{attempt.AccessKey, attempt.Signature, attempt.Token} {
			assert.False(t, bytes.Contains(b, []byte(secret)), "%s: %q in %s", a.Name, secret, b)
		}
	}
}

func TestIPv4IsPlain(t *testing.T) {
	o := &classify.Observation{Client: netip.MustParseAddrPort("[::ffff:192.0.2.1]:99")}
	assert.Equal(t, "192.0.2.1:99", new(record.Maker).New(o).Client.String(), "client")
}

// BenchmarkNew makes records with all IDs: of calls to the same URL, to another one each time,
// and to one with a secret.
func BenchmarkNew(b *testing.B) {
	span, at := record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}}, diagnosis.Attempt{CallID: 3, Number: 1}
	for _, bb := range []struct {
		name   string
		digits string // at the end of the target, another number each time
		target string
	}{
		{"same URL", "", "/?Action=GetMetricStatistics&MetricName=cpu.utilizition.total&StartTime=2026-11-01T00:00:00Z&InstanceID=00000000-aaaa-4bbb-8ccc-000000000000"},
		{"another URL", "0000", "/?Action=GetMetricStatistics&MetricName=cpu.utilizition.total&StartTime=2026-11-01T00:00:00Z&InstanceID=00000000-aaaa-4bbb-8ccc-000000000000"},
		{"secret", "0000", "/?Action=GetMetricStatistics&Signature=hunter2%3D&Timestamp=2026-11-01T00%3A00%3A00Z&InstanceID=00000000-aaaa-4bbb-8ccc-000000000000"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			o := *attempt.Get("error_throttled")
			o.Target = []byte(bb.target)
			digits := o.Target[len(o.Target)-len(bb.digits):]
			ids := record.NewIDs()
			var m record.Maker
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				for i, n := 0, n; i < len(digits); i, n = i+1, n/10 {
					digits[i] = byte('0' + n%10)
				}
				m.Identified(&o, &record.Identity{ID: ids.Next(o.End), Span: span, Attempt: at})
			}
		})
	}
}
