package diagnosis

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/savedhttp"
)

var (
	credential = cloudmonitor.Credential{AccessKey: "AKLTscenario000000000", SecretKey: "the-secret-key"}
	classifier = classify.New(classify.DefaultCatalog())
	epoch      = time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)
)

// seen makes of a scenario what the tap sees of it, answered by a gateway that
// knows that secret key.
func seen(t testing.TB, s cloudmonitor.SigningScenario, secret string) *classify.Observation {
	t.Helper()
	known := credential
	known.SecretKey = secret
	gateway := cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{known}, Now: func() time.Time { return epoch },
	})
	wire := s.Bytes(credential, epoch)
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	gateway.ServeHTTP(w, r)

	q := requestOf(t, wire)
	o := &classify.Observation{
		Start: epoch, FirstByte: epoch.Add(40 * time.Millisecond), End: epoch.Add(41 * time.Millisecond),
		Client: netip.MustParseAddrPort("192.0.2.9:40000"), Source: classify.SourceForward,
	}
	o.Call, _ = classifier.Request(q)
	response := fieldsOf(w.Header())
	o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: w.Code, Header: response, Body: w.Body.Bytes()})
	o.Date = classify.ServerTime(response)
	o.Signature = classifier.Signature(q, signature.Extent{Body: true, Fields: true})
	return o
}

// requestOf reads a request as the tap does.
func requestOf(t testing.TB, wire []byte) *classify.Request {
	t.Helper()
	saved, err := savedhttp.Parse(wire)
	if err != nil || !saved.Request.Whole {
		t.Fatal(err, saved)
	}
	return &classify.Request{
		Method: saved.Request.Method, Target: []byte(saved.Request.Target), Host: saved.Request.Fields.Get("Host"),
		Header: saved.Request.Fields, Body: saved.Request.Body,
	}
}

func fieldsOf(h http.Header) (f savedhttp.Fields) {
	for name, values := range h {
		for _, v := range values {
			f = append(f, savedhttp.Field{Name: name, Value: v})
		}
	}
	return f
}

// TestWrongScenarios lets the gateway refuse each request broken in a known way
// and looks for that way, the scenario's cause, at the top.
func TestWrongScenarios(t *testing.T) {
	found := 0
	for _, s := range cloudmonitor.SigningScenarios() {
		if !s.Wrong() {
			continue
		}
		found++
		want := Cause(s.Cause)
		o := seen(t, s, credential.SecretKey)
		got := New().Diagnose(o, Attempt{})
		if len(got) == 0 || got[0].Cause != want {
			t.Errorf("%s: answered %d %s %q; diagnosed %v, want %s first", s.Name, o.Verdict.Status, o.Verdict.Code, o.Verdict.Message, names(got), want)
			continue
		}
		if got[0].Certainty == Excluded || got[0].Certainty == Possible {
			t.Errorf("%s: %s is %s", s.Name, want, got[0].Certainty)
		}
		checkShown(t, s.Name, got)
	}
	assert.Equal(t, 55, found, "scenarios")
}

// TestRightScenariosWithAWrongSecret signs requests of right forms by a secret
// key that the gateway does not have: nothing but that is wrong.
func TestRightScenariosWithAWrongSecret(t *testing.T) {
	found := 0
	for _, s := range cloudmonitor.SigningScenarios() {
		if s.Wrong() {
			continue
		}
		found++
		if got := New().Diagnose(seen(t, s, credential.SecretKey), Attempt{}); got != nil {
			t.Errorf("%s: accepted, diagnosed %v", s.Name, names(got))
		}
		o := seen(t, s, "another-secret-key")
		got := New().Diagnose(o, Attempt{})
		if len(got) < 2 || got[0].Cause != CauseSecretWrong || got[0].Certainty != Likely {
			t.Errorf("%s: answered %d %s; diagnosed %v, want %s first", s.Name, o.Verdict.Status, o.Verdict.Code, names(got), CauseSecretWrong)
			continue
		}
		if last := got[len(got)-1]; last.Cause != CauseClockRight || last.Certainty != Excluded {
			t.Errorf("%s: the clock is not excluded: %v", s.Name, names(got))
		}
		checkShown(t, s.Name, got)
	}
	assert.GreaterOrEqual(t, found, 20, "scenarios")
}

// checkShown checks that all texts are there, filled in, and without a secret.
func checkShown(t testing.TB, name string, all []Diagnosis) {
	t.Helper()
	assert.LessOrEqual(t, len(all), MaxDiagnoses, "%s: %d diagnoses", name, len(all))
	b, err := json.Marshal(all)
	require.NoError(t, err)
	for _, secret := range []string{credential.AccessKey, credential.SecretKey, "AKLTscenarioUnknown00", "notapassword", "dXNlcjpub3"} {
		assert.False(t, bytes.Contains(b, []byte(secret)), "%s: %s in %s", name, secret, b)
	}
	for _, d := range all {
		for _, text := range []Text{d.Summary, d.Evidence, d.Advice.Do} {
			for _, s := range []string{text.English, text.Chinese} {
				if s == "" || strings.ContainsAny(s, "{}") {
					t.Errorf("%s: %s: text %q", name, d.Cause, s)
				}
			}
		}
	}
}

func names(all []Diagnosis) (s []string) {
	for _, d := range all {
		s = append(s, string(d.Cause)+" ("+string(d.Certainty)+")")
	}
	return s
}
