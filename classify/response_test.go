package classify

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// TestResponseShapes reads the shapes which the samples do not show, and what
// real servers make of them.
func TestResponseShapes(t *testing.T) {
	id := sampleID + "99"
	tests := []struct {
		name    string
		status  int
		header  fields
		body    string
		dryRun  bool
		outcome Outcome
		code    string
		cat     Category
		message string
		request string
		items   int
		form    Form
	}{
		// Errors.
		{"byte order mark", 400, nil, "\xef\xbb\xbf" + `{"Error":{"Code":"MissingParameter"}}`, false, OutcomeError, "MissingParameter", CategoryRequest, "", "", 0, FormJSON},
		{"names in capitals", 400, nil, `{"REQUESTID":"` + id + `","ERROR":{"CODE":"MissingParameter","MESSAGE":"m"}}`, false, OutcomeError, "MissingParameter", CategoryRequest, "m", id, 0, FormJSON},
		{"escaped names", 400, nil, `{"\u0045rror":{"\u0043ode":"MissingParameter"}}`, false, OutcomeError, "MissingParameter", CategoryRequest, "", "", 0, FormJSON},
		{"first of several fields that is not empty", 400, nil, `{"Error":{"Code":"","Code":"MissingParameter","Code":"AccessDenied"}}`, false, OutcomeError, "MissingParameter", CategoryRequest, "", "", 0, FormJSON},
		{"error object before flat fields", 400, nil, `{"code":"AccessDenied","message":"flat","error":{"code":"MissingParameter","message":"inner"}}`, false, OutcomeError, "MissingParameter", CategoryRequest, "inner", "", 0, FormJSON},
		{"number with a name beside it", 400, nil, `{"code":4000,"message":"m","codeDesc":"MissingParameter"}`, false, OutcomeError, "MissingParameter", CategoryRequest, "m", "", 0, FormJSON},
		{"error in a list", 400, nil, `{"Error":[{"Code":"MissingParameter"}]}`, false, OutcomeError, "MissingParameter", CategoryRequest, "", "", 0, FormJSON},
		{"null error", 500, nil, `{"Error":null,"Message":"sorry"}`, false, OutcomeError, "", CategoryServer, "sorry", "", 0, FormJSON},
		{"error type in a field", 403, fields{"x-ksc-ErrorType": "AccessDenied:http://x"}, `{}`, false, OutcomeError, "AccessDenied", CategoryPermission, "", "", 0, FormJSON},
		{"body before the field", 403, fields{"X-KSC-ERRORTYPE": "AccessDenied"}, `{"Error":{"Code":"LimitExceeded"}}`, false, OutcomeError, "LimitExceeded", CategoryThrottled, "", "", 0, FormJSON},
		{"request ID in a field", 400, fields{"X-KSC-REQUEST-ID": id}, `{"RequestId":"other"}`, false, OutcomeError, "", CategoryUnknown, "", id, 0, FormJSON},
		{"field that holds no ID", 400, fields{"X-Ksc-Request-Id": "a b"}, `{"reqId":"` + id + `"}`, false, OutcomeError, "", CategoryUnknown, "", id, 0, FormJSON},
		{"request_id", 400, nil, `{"request_id":"` + id + `"}`, false, OutcomeError, "", CategoryUnknown, "", id, 0, FormJSON},
		{"ResponseMetadata.RequestID", 200, nil, `{"ResponseMetadata":{"x":1,"RequestID":"` + id + `"}}`, false, OutcomeSuccess, "", "", "", id, 0, FormJSON},
		{"XML namespaces, attributes, comment, entities, CDATA", 400, nil, `<?xml version="1.0"?><!-- > --><k:ErrorResponse xmlns:k="u" a='>'><k:Error><k:Code>MissingParameter</k:Code><k:Message>a &lt;b&gt; &amp;&#65;&#x42; <![CDATA[<c>]]></k:Message></k:Error><k:requestid>` + id + `</k:requestid></k:ErrorResponse>`, false, OutcomeError, "MissingParameter", CategoryRequest, "a <b> &AB <c>", id, 0, FormXML},
		{"XML error as the root", 404, nil, `<Error><Code>NoSuchEntity</Code><RequestId>` + id + `</RequestId></Error>`, false, OutcomeError, "NoSuchEntity", CategoryNotFound, "", id, 0, FormXML},
		{"flat XML", 400, nil, `<Response><Code>MissingParameter</Code><Message>m</Message></Response>`, false, OutcomeError, "MissingParameter", CategoryRequest, "m", "", 0, FormXML},
		{"HTML with a title", 503, fields{"Content-Type": "application/json"}, "<!DOCTYPE html>\n<html><head><title>\n 503 Service\tTemporarily Unavailable</title>", false, OutcomeError, "", CategoryServer, "503 Service Temporarily Unavailable", "", 0, FormHTML},
		{"text", 429, nil, "Too Many Requests\nmore\n", false, OutcomeError, "", CategoryThrottled, "Too Many Requests", "", 0, FormText},
		{"empty", 504, nil, "", false, OutcomeError, "", CategoryTimeout, "", "", 0, FormEmpty},
		{"blanks", 500, nil, " \r\n", false, OutcomeError, "", CategoryServer, "", "", 0, FormEmpty},
		{"binary", 500, nil, "\x00\x01\x02", false, OutcomeError, "", CategoryServer, "", "", 0, FormBinary},
		{"unknown coding", 500, fields{"Content-Encoding": "compress"}, "\x8b\x02\x80{}", false, OutcomeError, "", CategoryServer, "", "", 0, FormBinary},
		{"coding that is not there", 400, fields{"Content-Encoding": "gzip"}, `{"Error":{"Code":"MissingParameter"}}`, false, OutcomeError, "MissingParameter", CategoryRequest, "", "", 0, FormJSON},
		{"no JSON", 400, nil, `{"Error":{"Code":"MissingParameter"`, false, OutcomeError, "MissingParameter", CategoryRequest, "", "", 0, FormJSON},
		{"code cut off", 400, nil, `{"Error":{"Message":"whole","Code":"MissingPara`, false, OutcomeError, "", CategoryUnknown, "whole", "", 0, FormJSON},
		{"invalid UTF-8", 400, nil, "{\"Error\":{\"Message\":\"a\xffb\\ud800c\\u0007d\"}}", false, OutcomeError, "", CategoryUnknown, "a\uFFFDb\uFFFDc d", "", 0, FormJSON},
		{"redirect", 301, nil, "", false, OutcomeError, "", CategoryRequest, "", "", 0, FormEmpty},
		{"not modified", 304, nil, "", false, OutcomeSuccess, "", "", "", "", 0, FormEmpty},
		{"no status of HTTP's", 999, nil, "", false, OutcomeError, "", CategoryUnknown, "", "", 0, FormEmpty},

		// Masked errors, and what is none.
		{"masked", 200, nil, `{"data":1,"Error":{"Code":"Strange","Message":"m"}}`, false, OutcomeMasked, "Strange", CategoryUnknown, "m", "", 0, FormJSON},
		{"masked, receiver", 200, nil, `{"Error":{"Type":"Server","Code":"Strange"}}`, false, OutcomeMasked, "Strange", CategoryServer, "", "", 0, FormJSON},
		{"masked without legible fields", 200, nil, `{"error":{"reason":"x"}}`, false, OutcomeMasked, "", CategoryUnknown, "", "", 0, FormJSON},
		{"masked root", 200, nil, `<ErrorResponse/>`, false, OutcomeMasked, "", CategoryUnknown, "", "", 0, FormXML},
		{"masked before flat", 201, nil, `{"code":"200","error":"boom"}`, false, OutcomeMasked, "200", CategoryUnknown, "boom", "", 0, FormJSON},
		{"known code without data", 200, nil, `{"code":"LimitExceeded","message":"m","requestId":"` + id + `","totalCount":0,"data":[]}`, false, OutcomeMasked, "LimitExceeded", CategoryThrottled, "m", id, 0, FormJSON},
		{"known code without data, XML", 200, nil, `<R><Code>missingparameter</Code><Message>m</Message></R>`, false, OutcomeMasked, "missingparameter", CategoryRequest, "m", "", 0, FormXML},
		{"known code before messages", 200, nil, `{"code":"ServiceTimeout","errorMessage":["a","b"]}`, false, OutcomeMasked, "ServiceTimeout", CategoryTimeout, "a", "", 0, FormJSON},
		{"known code with data", 200, nil, `{"code":"LimitExceeded","message":"m","data":[{"a":1}]}`, false, OutcomeSuccess, "LimitExceeded", "", "", "", 0, FormJSON},
		{"known code of a list", 200, nil, `[{"code":"LimitExceeded","message":"m"}]`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"known code, cut off", 200, nil, `{"code":"LimitExceeded","message":"m"`, false, OutcomeSuccess, "LimitExceeded", "", "", "", 0, FormJSON},
		{"unknown code without data", 200, nil, `{"code":"Strange","message":"m"}`, false, OutcomeSuccess, "Strange", "", "", "", 0, FormJSON},
		{"inferred code alone", 200, nil, `{"code":"InvalidService","message":"m"}`, false, OutcomeSuccess, "InvalidService", "", "", "", 0, FormJSON},
		{"inferred code with its message", 200, nil, `{"code":"InvalidService","message":"Invalid service"}`, false, OutcomeMasked, "InvalidService", CategoryNotFound, "Invalid service", "", 0, FormJSON},
		{"error in the data", 200, nil, `{"data":{"Error":{"Code":"X"},"error":"y"},"list":[{"error":"z","errorMessage":["m"]}]}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"error in XML data", 200, nil, `<R><Data><Item><Error><Code>X</Code></Error></Item></Data></R>`, false, OutcomeSuccess, "", "", "", "", 0, FormXML},
		{"empty errors", 200, nil, `{"error":{},"Error":null,"ERROR":"","eRror":[],"erroR":{"code":"","message":null}}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"error with code 0", 200, nil, `{"error":{"code":0,"message":"success"}}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"error that is a word of no text", 200, nil, `{"error":false}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"empty XML error", 200, nil, `<R><Error/><Data>1</Data></R>`, false, OutcomeSuccess, "", "", "", "", 0, FormXML},
		{"text that is fine", 200, nil, `ok`, false, OutcomeSuccess, "", "", "", "", 0, FormText},
		{"no content", 204, nil, ``, false, OutcomeSuccess, "", "", "", "", 0, FormEmpty},

		// Partial responses.
		{"messages of JSON after XML", 200, nil, `{"ErrorMessages":{"ErrorMessage":["a","","b",null]}}`, false, OutcomePartial, "", CategoryUnknown, "a", "", 2, FormJSON},
		{"no messages", 200, nil, `{"errorMessage":["",null]}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"message that is no list", 200, nil, `{"errorMessage":"success"}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"partial as text", 200, nil, `{"isPartial":"TRUE"}`, false, OutcomePartial, "", CategoryUnknown, "", "", 0, FormJSON},
		{"not partial", 200, nil, `{"isPartial":false}`, false, OutcomeSuccess, "", "", "", "", 0, FormJSON},
		{"partial by time-out", 200, nil, `{"errorMessage":["Internal Service is unavailable because of time out."]}`, false, OutcomePartial, "", CategoryTimeout, "Internal Service is unavailable because of time out.", "", 1, FormJSON},
		{"error messages of an error", 400, nil, `{"errorMessage":["a"]}`, false, OutcomeError, "", CategoryUnknown, "a", "", 0, FormJSON},

		// Dry runs.
		{"dry run in words", 412, nil, `{"message":"Request would have succeeded, but DryRun flag is set"}`, false, OutcomeDryRun, "", "", "", "", 0, FormJSON},
		{"dry run by code alone", 400, nil, `<Response><Error><Code>dryrunoperation</Code></Error></Response>`, false, OutcomeDryRun, "dryrunoperation", "", "", "", 0, FormXML},
		{"dry run, unreadable response", 412, nil, ``, true, OutcomeDryRun, "", "", "", "", 0, FormEmpty},
		{"dry run that failed", 412, nil, `{"Error":{"Code":"Strange"}}`, true, OutcomeError, "Strange", CategoryUnknown, "", "", 0, FormJSON},
		{"412 that was no dry run", 412, nil, ``, false, OutcomeError, "", CategoryUnknown, "", "", 0, FormEmpty},
		{"flat dry run in a 2xx", 200, nil, `{"code":"DryRunOperation"}`, false, OutcomeDryRun, "DryRunOperation", "", "", "", 0, FormJSON},
	}
	c := New(DefaultCatalog())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := c.Response(&Call{DryRun: tt.dryRun}, &Response{Status: tt.status, Header: tt.header, Body: []byte(tt.body)})
			checkVerdict(t, &v)
			got := []any{v.Outcome, v.Code, v.Category, v.Message, v.RequestID.String(), v.FailedItems, v.Form}
			want := []any{tt.outcome, tt.code, tt.cat, tt.message, tt.request, tt.items, tt.form}
			for i, what := range []string{"outcome", "code", "category", "message", "request ID", "failed items", "form"} {
				if got[i] != want[i] {
					t.Errorf("%s: %q, want %q", what, got[i], want[i])
				}
			}
		})
	}
}

func TestResponseInnerCode(t *testing.T) {
	v := New(DefaultCatalog()).Response(nil, &Response{Status: 403, Body: sample(t, "ssl-error.xml")})
	if v.Inner != "permission_denied" || v.Message != "权限不足" {
		t.Errorf("inner code %q, message %q", v.Inner, v.Message)
	}
}

func TestResponseNilHeaderAndCall(t *testing.T) {
	v := New(DefaultCatalog()).Response(nil, &Response{Status: 412})
	if v.Outcome != OutcomeError {
		t.Errorf("outcome %q", v.Outcome)
	}
}

// TestResponseCut reads every sample cut off at every byte: what is reported then
// must be what is reported of the whole sample, or less.
func TestResponseCut(t *testing.T) {
	c := New(DefaultCatalog())
	for _, s := range samples {
		body := sample(t, s.file)
		whole := c.Response(nil, &Response{Status: s.status, Body: body})
		for n := range body {
			v := c.Response(nil, &Response{Status: s.status, Body: body[:n], Truncated: true})
			checkVerdict(t, &v)
			if v.Code != "" && v.Code != whole.Code {
				t.Fatalf("%s cut at %d: code %q of %q", s.file, n, v.Code, whole.Code)
			}
			if !v.RequestID.IsZero() && v.RequestID != whole.RequestID {
				t.Fatalf("%s cut at %d: request ID %q of %q", s.file, n, v.RequestID.String(), whole.RequestID.String())
			}
			if !strings.HasPrefix(whole.Message, v.Message) && whole.Message != "" && s.outcome != OutcomeDryRun {
				t.Fatalf("%s cut at %d: message %q of %q", s.file, n, v.Message, whole.Message)
			}
			if s.status < 300 && whole.Outcome == OutcomeSuccess && v.Outcome != OutcomeSuccess {
				t.Fatalf("%s cut at %d: %s", s.file, n, v.Outcome)
			}
			if s.status < 300 && v.FailedItems > whole.FailedItems {
				t.Fatalf("%s cut at %d: %d failed items of %d", s.file, n, v.FailedItems, whole.FailedItems)
			}
		}
	}
}

// TestResponseCodings reads an error in every coding that can be undone, whole
// and cut.
func TestResponseCodings(t *testing.T) {
	plain := sample(t, "gateway-error.json")
	c := New(DefaultCatalog())
	for _, tt := range []struct {
		coding string
		body   []byte
	}{
		{"gzip", gzipped(t, plain)},
		{"x-gzip", gzipped(t, plain)},
		{"", gzipped(t, plain)},
		{"deflate", deflatedZlib(t, plain)},
		{"deflate", deflatedRaw(t, plain)},
		{"Deflate ", deflatedRaw(t, plain)},
		{"gzip, gzip", gzipped(t, gzipped(t, plain))},
		{"deflate", plain},
		{"identity", plain},
	} {
		v := c.Response(nil, &Response{Status: 403, Header: fields{"Content-Encoding": tt.coding}, Body: tt.body})
		if v.Code != "SignatureDoesNotMatch" || v.RequestID.String() != sampleID+"03" || v.Form != FormJSON {
			t.Errorf("%q: %+v", tt.coding, v)
		}
		// Without the trailer, as a cut copy is.
		v = c.Response(nil, &Response{Status: 403, Header: fields{"Content-Encoding": tt.coding}, Body: tt.body[:len(tt.body)-4], Truncated: true})
		if v.Code != "SignatureDoesNotMatch" {
			t.Errorf("%q cut: %+v", tt.coding, v)
		}
	}
}

func TestResponseEmptyInside(t *testing.T) {
	c := New(DefaultCatalog())
	for _, tt := range []struct {
		body []byte
		want Form
	}{
		{gzipped(t, nil), FormEmpty},
		{gzipped(t, []byte("x"))[:11], FormBinary},
		{[]byte("\x1f\x8b\x08"), FormBinary},
	} {
		v := c.Response(nil, &Response{Status: 200, Header: fields{"Content-Encoding": "gzip"}, Body: tt.body})
		if v.Outcome != OutcomeSuccess || v.Form != tt.want {
			t.Errorf("%x: %s, %s; want %s", tt.body, v.Outcome, v.Form, tt.want)
		}
	}
}

// TestConcurrently reads by one classifier from many goroutines.
func TestConcurrently(t *testing.T) {
	c := New(DefaultCatalog())
	packed := gzipped(t, sample(t, "gateway-error.json"))
	plain := sample(t, "error.xml")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				action := fmt.Sprint("Action", g*i)
				call, _ := c.Request(&Request{Target: []byte("/?Action=" + action), Host: []byte("monitor.api.ksyun.com")})
				if call.Action != action {
					t.Errorf("action %q, want %q", call.Action, action)
				}
				if v := c.Response(&call, &Response{Status: 403, Body: packed}); v.Code != "SignatureDoesNotMatch" || v.RequestID.String() != sampleID+"03" {
					t.Errorf("%+v", v)
				}
				if v := c.Response(&call, &Response{Status: 400, Body: plain}); v.Code != "InvalidParameterValue" {
					t.Errorf("%+v", v)
				}
			}
		})
	}
	wg.Wait()
}

// TestResponseBomb checks that what is inflated is bounded, and that what is
// found before the bound counts.
func TestResponseBomb(t *testing.T) {
	body := gzipped(t, append([]byte(`{"Error":{"Code":"MissingParameter"},"x":"`), bytes.Repeat([]byte{'a'}, 1<<20)...))
	p, f := decode(body, nil, nil, false)
	plain := p.body
	if len(plain) != maxInflated {
		t.Errorf("inflated to %d bytes", len(plain))
	}
	f.release()
	v := New(DefaultCatalog()).Response(nil, &Response{Status: 400, Body: body})
	if v.Code != "MissingParameter" {
		t.Errorf("%+v", v)
	}
}

func TestResponseMessageBound(t *testing.T) {
	c := New(DefaultCatalog())
	for pad := range 4 {
		body := `{"Error":{"Message":"` + strings.Repeat("x", pad) + strings.Repeat("权", 400) + `"}}`
		v := c.Response(nil, &Response{Status: 400, Body: []byte(body)})
		if len(v.Message) > maxMessage || len(v.Message) < maxMessage-3 || !utf8.ValidString(v.Message) {
			t.Errorf("%d bytes, valid %t", len(v.Message), utf8.ValidString(v.Message))
		}
	}
}

func TestFault(t *testing.T) {
	c := New(DefaultCatalog())
	for f, want := range map[Fault]Verdict{
		FaultCanceled:    {Outcome: OutcomeCanceled},
		FaultDNS:         {Outcome: OutcomeProxy, Category: CategoryNetwork, Blame: BlameNetwork, Retryable: true},
		FaultDialTimeout: {Outcome: OutcomeProxy, Category: CategoryTimeout, Blame: BlameNetwork, Retryable: true},
		FaultExhausted:   {Outcome: OutcomeProxy, Category: CategoryNetwork, Blame: BlameTap, Retryable: true},
		FaultTimeout:     {Outcome: OutcomeProxy, Category: CategoryTimeout, Blame: BlameProvider, Retryable: true},
		FaultHostRefused: {Outcome: OutcomeProxy, Category: CategoryRequest, Blame: BlameClient},
		FaultLoop:        {Outcome: OutcomeProxy, Category: CategoryNetwork, Blame: BlameTap},
		FaultBadResponse: {Outcome: OutcomeProxy, Category: CategoryServer, Blame: BlameProvider, Retryable: true},
		FaultHeadTooLong: {Outcome: OutcomeProxy, Category: CategoryNetwork, Blame: BlameTap},
		Fault("new"):     {Outcome: OutcomeProxy, Category: CategoryUnknown, Blame: BlameTap},
	} {
		v := c.Fault(f, 502)
		if v.Status != 502 || v.Outcome != want.Outcome || v.Category != want.Category || v.Blame != want.Blame || v.Retryable != want.Retryable {
			t.Errorf("%s: %+v", f, v)
		}
		if f != FaultCanceled && f != "new" && (v.Entry == nil || v.Entry.Advice.English == "" || v.Match != MatchFault) {
			t.Errorf("%s has no entry: %+v", f, v)
		}
	}
}

func TestCanonicalCode(t *testing.T) {
	c := New(DefaultCatalog())
	f := func(status int, body, raw, canonical string) {
		t.Helper()
		v := c.Response(nil, &Response{Status: status, Body: []byte(body)})
		if v.Code != raw || v.CanonicalCode() != canonical {
			t.Errorf("%s: code %q, canonical %q; want %q, %q", body, v.Code, v.CanonicalCode(), raw, canonical)
		}
	}
	f(403, `{"error":{"code":"signaturemismatch"}}`, "signaturemismatch", "SignatureMismatch")
	f(400, `{"error":{"code":"InvalidActionOrVesion"}}`, "InvalidActionOrVesion", "InvalidActionOrVesion")
	f(500, `{"error":{"code":"InternalFailure"}}`, "InternalFailure", "InternalFailure")
	f(500, `{"error":{"code":"internal_failure"}}`, "internal_failure", "INTERNAL_FAILURE")
	f(400, `{"error":{"code":"Unheard.Of"}}`, "Unheard.Of", "Unheard.Of")
	f(400, `{"error":{"code":"X","message":"Invalid Timestamp. Pls in 15mins"}}`, "X", "X")
}

// TestAllocations holds the success path to none, and errors with a known code
// to their message.
func TestAllocations(t *testing.T) {
	c := New(DefaultCatalog())
	kib, big := metricsJSON(1<<10), metricsJSON(64<<10)
	f := func(name string, status int, body []byte, most float64) {
		t.Helper()
		r := &Response{Status: status, Header: responseHead, Body: body}
		call := &Call{}
		if got := testing.AllocsPerRun(200, func() { c.Response(call, r) }); got > most {
			t.Errorf("%s: %v allocations, want at most %v", name, got, most)
		}
	}
	f("1 KiB of JSON", 200, kib, 0)
	f("64 KiB of JSON", 200, big, 0)
	f("flat code in a success", 200, sample(t, "flat-code-in-200.json"), 0)
	f("XML", 200, sample(t, "success-getmetricstatistics.xml"), 0)
	f("empty", 204, nil, 0)
	if !raceEnabled {
		// The race detector makes a pool forget on purpose.
		f("1 KiB of JSON, gzip", 200, gzipped(t, kib), 0)
	}
	f("error, message of the catalogue", 403, sample(t, "gateway-error.json"), 0)
	f("error, message of its own", 400, sample(t, "monitor-error-missing-signature.json"), 0)
	f("error, unknown code and message", 400, []byte(`{"Error":{"Code":"Strange","Message":"m of its own"}}`), 1)
	f("XML error", 400, sample(t, "error.xml"), 1)
}
