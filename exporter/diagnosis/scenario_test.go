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

	"github.com/ksyun-tap/ksyun-tap/classify"
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
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	gateway.ServeHTTP(w, r)

	q := requestOf(t, wire)
	o := &classify.Observation{
		Start: epoch, FirstByte: epoch.Add(40 * time.Millisecond), End: epoch.Add(41 * time.Millisecond),
		Client: netip.MustParseAddrPort("192.0.2.9:40000"), Source: classify.SourceForward,
	}
	o.Call, _ = classifier.Request(q)
	answer := fieldsOf(w.Header())
	o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: w.Code, Header: answer, Body: w.Body.Bytes()})
	o.Date = classify.ServerTime(answer)
	o.Signature = classifier.Signature(q, classify.Extent{Body: true, Fields: true})
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

// wrong are the causes that must be ranked first for the wrong scenarios of the
// simulator, whose gateway is the judge of what is wrong.
var wrong = map[string]Cause{
	"not signed":                      "unsigned",
	"authorization dropped":           "unsigned",
	"basic authorization":             "algorithm",
	"algorithm of another vendor":     "algorithm",
	"no blank behind the algorithm":   "authorization_form",
	"blanks instead of commas":        "authorization_form",
	"SignedHeaders missing":           "signature_incomplete",
	"X-Amz-Date missing":              "signature_incomplete",
	"presigned without its date":      "signature_incomplete",
	"both forms":                      "forms_mixed",
	"scope of four parts":             "scope_form",
	"scope without an end":            "scope_end",
	"scope of the day before":         "scope_date",
	"scope of the local day":          "scope_date",
	"scope of another service":        "scope_service",
	"scope of another region":         "scope_region",
	"date in the extended form":       "date_form",
	"date of another kind":            "date_form",
	"two dates":                       "dates_differ",
	"signature in base64":             "signature_text",
	"signature in upper case":         "signature_text",
	"signature cut":                   "signature_text",
	"host not signed":                 "host_unsigned",
	"names in upper case":             "signed_names",
	"names not sorted":                "signed_names",
	"signed field dropped":            "field_missing",
	"signed length, body chunked":     "field_missing",
	"signed field doubled":            "field_doubled",
	"signed field changed by a proxy": "field_proxied",
	"host of the proxy":               "host_foreign",
	"host with a port":                "host_port",
	"parameter doubled on the way":    "parameter_doubled",
	"parameter encoded twice":         "parameter_twice",
	"parameter decoded on the way":    "parameter_plus",
	"query cut in an escape":          "parameter_escape",
	"body changed":                    "payload_hash",
	"body not signed":                 "payload_unsigned",
	"simple without a key":            "signature_incomplete",
	"simple without a signature":      "signature_incomplete",
	"simple without a time":           "signature_incomplete",
	"simple, key in another case":     "parameter_case",
	"simple in base64":                "signature_text",
	"simple by HMAC-SHA1":             "algorithm",
	"simple of another version":       "signature_version",
	"simple without a zone":           "date_form",
	"simple, parameter doubled":       "parameter_doubled",
	"simple, another service":         "scope_service",
	"clock behind":                    CauseClockSkew,
	"clock ahead":                     CauseClockSkew,
	"clock behind, simple":            CauseClockSkew,
	"local time":                      CauseClockZone,
	"local time, simple":              CauseClockZone,
	"old presigned":                   CauseSignatureStale,
	"unknown key":                     CauseKeyUnknown,
	"unknown key, simple":             CauseKeyUnknown,
}

// TestWrongScenarios lets the gateway refuse each request broken in a known way
// and looks for that way at the top.
func TestWrongScenarios(t *testing.T) {
	found := 0
	for _, s := range cloudmonitor.SigningScenarios() {
		if !s.Wrong {
			continue
		}
		want, ok := wrong[s.Name]
		if !ok {
			t.Errorf("%s: no cause to expect", s.Name)
			continue
		}
		found++
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
	if found != len(wrong) {
		t.Errorf("%d scenarios, want %d", found, len(wrong))
	}
}

// TestRightScenariosWithAWrongSecret signs requests of right forms by a secret
// key that the gateway does not have: nothing but that is wrong.
func TestRightScenariosWithAWrongSecret(t *testing.T) {
	found := 0
	for _, s := range cloudmonitor.SigningScenarios() {
		if s.Wrong {
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
	if found < 20 {
		t.Errorf("%d scenarios", found)
	}
}

// checkShown checks that all texts are there, filled in, and without a secret.
func checkShown(t *testing.T, name string, all []Diagnosis) {
	t.Helper()
	if len(all) > MaxDiagnoses {
		t.Errorf("%s: %d diagnoses", name, len(all))
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{credential.AccessKey, credential.SecretKey, "AKLTscenarioUnknown00", "notapassword", "dXNlcjpub3"} {
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s: %s in %s", name, secret, b)
		}
	}
	for _, d := range all {
		for _, text := range []Text{d.Summary, d.Evidence, d.Advice} {
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
