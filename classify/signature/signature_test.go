package signature

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

const (
	canarySig = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff"
	canaryAK  = "AKLTcanaryAccessKey0123"
)

// heads are header fields.
type heads [][2]string

// request is a Request for tests.
type request struct {
	Method       string
	Target, Host []byte
	Header       heads
	Body         []byte
}

// inspect inspects r, of which e is available.
func (r *request) inspect(e Extent) *Result {
	s := Request{Method: r.Method, Target: r.Target, Host: r.Host, Body: r.Body, Extent: e, ServiceOf: serviceOf}
	if r.Header != nil {
		s.Fields = r.Header.all
	}
	return Inspect(&s)
}

func (h heads) all(yield func(name, value []byte) bool) {
	for _, f := range h {
		if !yield([]byte(f[0]), []byte(f[1])) {
			return
		}
	}
}

// serviceOf knows one action.
func serviceOf(action, version string) string {
	if action == "ListMetrics" && version == "2010-05-25" {
		return "monitor"
	}
	return ""
}

// signedBy returns an Authorization field with another scope, list and signature.
func signedBy(scope, signed, signature string) string {
	return "AWS4-HMAC-SHA256 Credential=" + canaryAK + scope + ", SignedHeaders=" + signed + ", Signature=" + signature
}

// TestChecks looks at each check by itself; the scenarios that a
// gateway judges are in exporter/diagnosis.
func TestChecks(t *testing.T) {
	const (
		scope = "/20261123/cn-beijing-6/monitor/aws4_request"
		list  = "host;x-amz-date"
		query = "/?Action=ListMetrics&Version=2010-05-25"
	)
	plain := func(more ...[2]string) heads {
		return append(heads{
			{"Host", "monitor.api.ksyun.com"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy(scope, list, canarySig)},
		}, more...)
	}
	with := func(authorization string, more ...[2]string) heads {
		return append(heads{{"Host", "monitor.api.ksyun.com"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", authorization}}, more...)
	}
	f := func(name string, r request, want ...string) {
		t.Helper()
		r.Method = cmp.Or(r.Method, "GET")
		if r.Host == nil {
			r.Host = []byte("monitor.api.ksyun.com")
		}
		var got []string
		s := r.inspect(Extent{Body: true, Fields: true})
		for _, finding := range s.Findings {
			line := []string{string(finding.Check), finding.Confidence.String()}
			for _, fact := range finding.Facts {
				line = append(line, fact.Name+"="+fact.Value)
			}
			got = append(got, strings.Join(line, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
		if s.Checks < len(s.Findings) {
			t.Errorf("%s: %d checks, %d findings", name, s.Checks, len(s.Findings))
		}
	}
	f("in order", request{Target: []byte(query), Header: plain()})
	f("a call about an access key", request{Target: []byte("/?AccessKeyId=" + canaryAK + "&Action=DeleteAccessKey"), Header: plain()})
	f("signed in two ways", request{Target: []byte("/?Accesskey=" + canaryAK + "&Signature=" + canarySig), Header: plain()},
		"forms_mixed likely forms=Authorization, Signature")
	f("blanks instead of commas", request{Target: []byte(query), Header: with(strings.ReplaceAll(signedBy(scope, list, canarySig), ",", " "))}, "authorization_form certain")
	f("no fields at all", request{Target: []byte(query)}, "unsigned certain")
	f("the surest first", request{Target: []byte("/?Version=2010-05-25&Action=a%2520b"), Header: with(signedBy(scope, "x-amz-date", canarySig[1:]))},
		"host_unsigned certain", "signature_text certain length=63", "parameter_twice likely names=Action", "parameter_order possible")
	f("region of no shape", request{Target: []byte(query), Header: with(signedBy("/20261123/beijing/monitor/aws4_request", list, canarySig))},
		"scope_region likely region=beijing expected=cn-beijing-6")
	f("service of the action", request{Target: []byte(query), Host: []byte("internal.api.ksyun.com"), Header: heads{
		{"Host", "internal.api.ksyun.com"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy("/20261123/cn-beijing-6/iam/aws4_request", list, canarySig)},
	}}, "scope_service likely service=iam expected=monitor")
	f("host signed twice, as an SDK does", request{Target: []byte(query), Header: with(signedBy(scope, "host;host;x-amz-date", canarySig))})
	f("an offset, as an SDK sends", request{Target: []byte(query), Header: heads{
		{"Host", "monitor.api.ksyun.com"}, {"X-Amz-Date", "20261123T080000+00:00"}, {"Authorization", signedBy(scope, list, canarySig)},
	}}, "date_form possible date=20261123T080000+00:00 expected=20060102T150405Z")
	f("sent to the region's host, as in the vendor's examples", request{Target: []byte(query), Host: []byte("monitor.cn-beijing-6.api.ksyun.com"), Header: plain()},
		"host_differs possible host=monitor.api.ksyun.com sent_to=monitor.cn-beijing-6.api.ksyun.com")
	f("two hosts", request{Target: []byte(query), Header: plain([2]string{"host", "monitor.api.ksyun.com"})}, "host_doubled certain number=2")
	f("a custom host", request{Target: []byte(query), Host: []byte("api.example.org"), Header: heads{
		{"Host", "api.example.org"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy(scope, list, canarySig)},
	}}, "host_foreign possible host=api.example.org")
	f("an address as the host", request{Target: []byte(query), Host: []byte("[::1]:8181"), Header: heads{
		{"Host", "[::1]:8181"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy(scope, list, canarySig)},
	}}, "host_foreign likely host=[::1]:8181")
	f("blanks in a signed value", request{Target: []byte(query), Header: with(signedBy(scope, "accept;"+list, canarySig), [2]string{"Accept", "a,  b"})},
		"field_value possible fields=accept")
	f("a path that is normalised", request{Target: []byte("//v4/" + query[1:]), Header: plain()}, "path_form possible")
	f("the same in query and form", request{Method: "POST", Target: []byte("/"), Header: heads{
		{"Host", "monitor.api.ksyun.com"}, {"Content-Type", "application/x-www-form-urlencoded"},
	}, Body: []byte("Accesskey=" + canaryAK + "&Action=a&Action=a&Service=monitor&Signature=" + canarySig +
		"&SignatureMethod=HMAC-SHA256&SignatureVersion=1.0&Timestamp=2026-11-23T08%3A00%3A00Z")}, "parameter_doubled possible names=Action")
	f("an offset in the simple form", request{Target: []byte("/?Accesskey=" + canaryAK + "&Action=a&Service=monitor&Signature=" + canarySig +
		"&SignatureMethod=HMAC-SHA256&SignatureVersion=1.0&Timestamp=2026-11-23T16%3A00%3A00%2B08%3A00"), Header: heads{{"Host", "monitor.api.ksyun.com"}}},
		"date_form possible date=2026-11-23T16:00:00+08:00 expected=2006-01-02T15:04:05Z")
	f("a key as the region", request{Target: []byte(query), Header: with(signedBy("/20261123/"+canaryAK+"/monitor/aws4_request", list, canarySig))},
		"scope_region likely region=(not shown) expected=cn-beijing-6")
	f("a key as a field's name", request{Target: []byte(query), Header: with(signedBy(scope, strings.ToLower(canarySig)+";"+list, canarySig))},
		"field_missing certain fields=(not shown)")
}

// TestPartOfARequest checks that what was not seen is not missed.
func TestPartOfARequest(t *testing.T) {
	r := &request{
		Method: "POST", Target: []byte("/?Action=a"), Host: []byte("monitor.api.ksyun.com"), Body: []byte("half"),
		Header: heads{
			{"X-Amz-Date", "20261123T080000Z"},
			{"X-Amz-Content-Sha256", canarySig},
			{"Authorization", signedBy("/20261123/cn-beijing-6/monitor/aws4_request", "content-length;host;user-agent;x-amz-date", canarySig)},
		},
	}
	for _, f := range r.inspect(Extent{}).Findings {
		if f.Confidence != ConfidencePossible {
			t.Errorf("%s is %s", f.Check, f.Confidence)
		}
	}
	if f := r.inspect(Extent{Body: true, Fields: true}).Findings; len(f) < 2 || f[0].Check != CheckPayloadHash || f[1].Check != CheckFieldMissing {
		t.Errorf("of the whole request: %v", f)
	}
}

// isUnprintable reports whether r is anything but printable ASCII.
func isUnprintable(r rune) bool { return r < ' ' || r > '~' }

// FuzzInspect reads any request and looks for secrets in what is said of it.
func FuzzInspect(f *testing.F) {
	f.Add("GET", "/?Action=a&X-Amz-Signature=KEY", "monitor.api.ksyun.com", signedBy("/20261123/a/b/c", "host;KEY", "KEY"), "KEY")
	f.Add("POST", "/?Accesskey=KEY&Signature=%25KEY&Timestamp=KEY", "KEY:80", "Basic KEY", "Signature=KEY&a=b")
	f.Fuzz(func(t *testing.T, method, target, host, authorization, body string) {
		put := func(s string) []byte { return []byte(strings.ReplaceAll(s, "KEY", canarySig)) }
		h := heads{
			{"Host", string(put(host))},
			{"Authorization", string(put(authorization))},
			{"X-Amz-Date", string(put(method))},
			{"Content-Type", "application/x-www-form-urlencoded"},
		}
		for _, whole := range []bool{false, true} {
			r := request{Method: "POST", Target: put(target), Host: put(host), Header: h, Body: put(body)}
			s := r.inspect(Extent{whole, whole})
			if len(s.Findings) > len(Checks())+2 {
				t.Errorf("%d findings", len(s.Findings))
			}
			for _, finding := range s.Findings {
				if !slices.Contains(Checks(), finding.Check) {
					t.Errorf("check %q is not listed", finding.Check)
				}
				for _, fact := range finding.Facts {
					if strings.Contains(fact.Value, canarySig) || len(fact.Value) > 1024 || strings.ContainsFunc(fact.Value, isUnprintable) {
						t.Errorf("%s: %s=%q", finding.Check, fact.Name, fact.Value)
					}
				}
			}
			if strings.Contains(s.Fields, canarySig) {
				t.Errorf("fields %q", s.Fields)
			}
		}
	})
}
