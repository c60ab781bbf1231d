package classify

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	canarySig = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff"
	canaryAK  = "AKLTcanaryAccessKey0123"
)

// signedBy returns an Authorization field with another scope, list and signature.
func signedBy(scope, signed, signature string) string {
	return "AWS4-HMAC-SHA256 Credential=" + canaryAK + scope + ", SignedHeaders=" + signed + ", Signature=" + signature
}

// TestSignatureChecks looks at each check by itself; the scenarios that a
// gateway judges are in exporter/diagnosis.
func TestSignatureChecks(t *testing.T) {
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
	c := New(DefaultCatalog())
	f := func(name string, r Request, want ...string) {
		t.Helper()
		r.Method = cmp.Or(r.Method, "GET")
		if r.Host == nil {
			r.Host = []byte("monitor.api.ksyun.com")
		}
		var got []string
		s := c.Signature(&r, Extent{Body: true, Fields: true})
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
	f("in order", Request{Target: []byte(query), Header: plain()})
	f("a call about an access key", Request{Target: []byte("/?AccessKeyId=" + canaryAK + "&Action=DeleteAccessKey"), Header: plain()})
	f("signed in two ways", Request{Target: []byte("/?Accesskey=" + canaryAK + "&Signature=" + canarySig), Header: plain()},
		"forms_mixed likely forms=Authorization, Signature")
	f("blanks instead of commas", Request{Target: []byte(query), Header: with(strings.ReplaceAll(signedBy(scope, list, canarySig), ",", " "))}, "authorization_form certain")
	f("no fields at all", Request{Target: []byte(query)}, "unsigned certain")
	f("the surest first", Request{Target: []byte("/?Version=2010-05-25&Action=a%2520b"), Header: with(signedBy(scope, "x-amz-date", canarySig[1:]))},
		"host_unsigned certain", "signature_text certain length=63", "parameter_twice likely names=Action", "parameter_order possible")
	f("region of no shape", Request{Target: []byte(query), Header: with(signedBy("/20261123/beijing/monitor/aws4_request", list, canarySig))},
		"scope_region likely region=beijing expected=cn-beijing-6")
	f("service of the action", Request{Target: []byte(query), Host: []byte("internal.api.ksyun.com"), Header: heads{
		{"Host", "internal.api.ksyun.com"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy("/20261123/cn-beijing-6/iam/aws4_request", list, canarySig)},
	}}, "scope_service likely service=iam expected=monitor")
	f("host signed twice, as an SDK does", Request{Target: []byte(query), Header: with(signedBy(scope, "host;host;x-amz-date", canarySig))})
	f("an offset, as an SDK sends", Request{Target: []byte(query), Header: heads{
		{"Host", "monitor.api.ksyun.com"}, {"X-Amz-Date", "20261123T080000+00:00"}, {"Authorization", signedBy(scope, list, canarySig)},
	}}, "date_form possible date=20261123T080000+00:00 expected=20060102T150405Z")
	f("sent to the region's host, as in the vendor's examples", Request{Target: []byte(query), Host: []byte("monitor.cn-beijing-6.api.ksyun.com"), Header: plain()},
		"host_differs possible host=monitor.api.ksyun.com sent_to=monitor.cn-beijing-6.api.ksyun.com")
	f("two hosts", Request{Target: []byte(query), Header: plain([2]string{"host", "monitor.api.ksyun.com"})}, "host_doubled certain number=2")
	f("a custom host", Request{Target: []byte(query), Host: []byte("api.example.org"), Header: heads{
		{"Host", "api.example.org"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy(scope, list, canarySig)},
	}}, "host_foreign possible host=api.example.org")
	f("an address as the host", Request{Target: []byte(query), Host: []byte("[::1]:8181"), Header: heads{
		{"Host", "[::1]:8181"}, {"X-Amz-Date", "20261123T080000Z"}, {"Authorization", signedBy(scope, list, canarySig)},
	}}, "host_foreign likely host=[::1]:8181")
	f("blanks in a signed value", Request{Target: []byte(query), Header: with(signedBy(scope, "accept;"+list, canarySig), [2]string{"Accept", "a,  b"})},
		"field_value possible fields=accept")
	f("a path that is normalised", Request{Target: []byte("//v4/" + query[1:]), Header: plain()}, "path_form possible")
	f("the same in query and form", Request{Method: "POST", Target: []byte("/"), Header: heads{
		{"Host", "monitor.api.ksyun.com"}, {"Content-Type", "application/x-www-form-urlencoded"},
	}, Body: []byte("Accesskey=" + canaryAK + "&Action=a&Action=a&Service=monitor&Signature=" + canarySig +
		"&SignatureMethod=HMAC-SHA256&SignatureVersion=1.0&Timestamp=2026-11-23T08%3A00%3A00Z")}, "parameter_doubled possible names=Action")
	f("an offset in the simple form", Request{Target: []byte("/?Accesskey=" + canaryAK + "&Action=a&Service=monitor&Signature=" + canarySig +
		"&SignatureMethod=HMAC-SHA256&SignatureVersion=1.0&Timestamp=2026-11-23T16%3A00%3A00%2B08%3A00"), Header: heads{{"Host", "monitor.api.ksyun.com"}}},
		"date_form possible date=2026-11-23T16:00:00+08:00 expected=2006-01-02T15:04:05Z")
	f("a key as the region", Request{Target: []byte(query), Header: with(signedBy("/20261123/"+canaryAK+"/monitor/aws4_request", list, canarySig))},
		"scope_region likely region=(not shown) expected=cn-beijing-6")
	f("a key as a field's name", Request{Target: []byte(query), Header: with(signedBy(scope, strings.ToLower(canarySig)+";"+list, canarySig))},
		"field_missing certain fields=(not shown)")
}

// TestSignatureOfPartOfARequest checks that what was not seen is not missed.
func TestSignatureOfPartOfARequest(t *testing.T) {
	r := &Request{
		Method: "POST", Target: []byte("/?Action=a"), Host: []byte("monitor.api.ksyun.com"), Body: []byte("half"),
		Header: heads{
			{"X-Amz-Date", "20261123T080000Z"},
			{"X-Amz-Content-Sha256", canarySig},
			{"Authorization", signedBy("/20261123/cn-beijing-6/monitor/aws4_request", "content-length;host;user-agent;x-amz-date", canarySig)},
		},
	}
	c := New(DefaultCatalog())
	for _, f := range c.Signature(r, Extent{}).Findings {
		if f.Confidence != ConfidencePossible {
			t.Errorf("%s is %s", f.Check, f.Confidence)
		}
	}
	if f := c.Signature(r, Extent{Body: true, Fields: true}).Findings; len(f) < 2 || f[0].Check != CheckPayloadHash || f[1].Check != CheckFieldMissing {
		t.Errorf("of the whole request: %v", f)
	}
}

func TestServerTime(t *testing.T) {
	want := time.Date(2026, time.November, 6, 8, 49, 37, 0, time.UTC)
	const date = "Fri, 06 Nov 2026 08:49:37 GMT"
	f := func(name string, h heads, want time.Time) {
		t.Helper()
		if got := ServerTime(h); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("plain", heads{{"date", date}}, want)
	f("missed by a cache", heads{{"Date", date}, {"X-Cache", "MISS from gateway"}}, want)
	f("of age", heads{{"Date", date}, {"Age", "0"}}, time.Time{})
	f("from a cache", heads{{"Date", date}, {"X-Cache", "TCP_HIT"}}, time.Time{})
	f("from a cache by RFC 9211", heads{{"Date", date}, {"Cache-Status", "gateway; hit"}}, time.Time{})
	f("without a date", heads{{"Age", "0"}}, time.Time{})
	for _, bad := range []string{
		"", "Fri, 06 Nov 2026 08:49:37", "Fri, 06 Foo 2026 08:49:37 GMT", "Fri, 00 Nov 2026 08:49:37 GMT", "Fri, 06 Nov 2026 24:49:37 GMT",
		"Fri, 06 anF 2026 08:49:37 GMT", "Fri, 06 Nov 2026 08:49:37 UTC", "Friday, 06-Nov-26 08:49:37 GMT", "Fri, 0x Nov 2026 08:49:37 GMT",
	} {
		f(bad, heads{{"Date", bad}}, time.Time{})
	}
	for month := time.January; month <= time.December; month++ {
		at := time.Date(2027, month, 28, 23, 59, 59, 0, time.UTC)
		f(month.String(), heads{{"Date", at.Format("Mon, 02 Jan 2006 15:04:05 GMT")}}, at)
	}
}

// FuzzSignature reads any request and looks for secrets in what is said of it.
func FuzzSignature(f *testing.F) {
	f.Add("GET", "/?Action=a&X-Amz-Signature=KEY", "monitor.api.ksyun.com", signedBy("/20261123/a/b/c", "host;KEY", "KEY"), "KEY")
	f.Add("POST", "/?Accesskey=KEY&Signature=%25KEY&Timestamp=KEY", "KEY:80", "Basic KEY", "Signature=KEY&a=b")
	c := New(DefaultCatalog())
	f.Fuzz(func(t *testing.T, method, target, host, authorization, body string) {
		put := func(s string) []byte { return []byte(strings.ReplaceAll(s, "KEY", canarySig)) }
		h := heads{
			{"Host", string(put(host))},
			{"Authorization", string(put(authorization))},
			{"X-Amz-Date", string(put(method))},
			{"Content-Type", "application/x-www-form-urlencoded"},
		}
		for _, whole := range []bool{false, true} {
			s := c.Signature(&Request{Method: "POST", Target: put(target), Host: put(host), Header: h, Body: put(body)}, Extent{whole, whole})
			if len(s.Findings) > len(Checks())+2 {
				t.Errorf("%d findings", len(s.Findings))
			}
			for _, finding := range s.Findings {
				if !slices.Contains(Checks(), finding.Check) {
					t.Errorf("check %q is not listed", finding.Check)
				}
				for _, fact := range finding.Facts {
					if strings.Contains(fact.Value, canarySig) || len(fact.Value) > 1024 || strings.ContainsFunc(fact.Value, IsControl) {
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
