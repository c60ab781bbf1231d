package evidence

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/canary"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
)

// exchange returns the observation of a failing exchange.
func exchange(r canary.Request, responseFields map[string][]string, responseBody string) *classify.Observation {
	header := classify.HeaderMap{}
	for _, f := range r.Fields {
		header[f[0]] = append(header[f[0]], f[1])
	}
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	return &classify.Observation{
		Verdict: classify.Verdict{Outcome: classify.OutcomeError, Status: 403},
		Method:  "POST", Target: []byte(r.Target), RequestHeader: header, RequestBody: []byte(r.Body),
		ResponseHeader: classify.HeaderMap(responseFields), ResponseBody: []byte(responseBody),
		Start: start, FirstByte: start.Add(40 * time.Millisecond), End: start.Add(50 * time.Millisecond),
	}
}

// keep returns what s keeps of o.
func keep(t testing.TB, s *Store, id string, o *classify.Observation) *har.Details {
	t.Helper()
	c := s.Copy(o)
	require.NotNil(t, c, "no copy")
	s.Add(id, o.Clone(), c)
	c.Release()
	require.Zero(t, s.copied.Load(), "bytes of copies after their release")
	return s.Find(id)
}

func TestBodies(t *testing.T) {
	const others = "the values of other fields than those of an allowlist are replaced by their types"
	tests := []struct {
		name, kind, body string
		want             har.Body
	}{
		{
			"JSON", "application/json", `{"RequestId":"3f0c","Error":{"Code":"LimitExceeded","Message":"slow down","Secret":"x","N":5,"B":true,"Z":null,"E":""}}`,
			har.Body{MIMEType: "application/json", Text: `{"RequestId":"3f0c","Error":{"Code":"LimitExceeded","Message":"slow down","Secret":"[string]","N":"[number]","B":"[boolean]","Z":null,"E":""}}`, Comment: others},
		},
		{
			"values that are kept", "", `{"Period":60,"isPartial":true,"Type":["a",{"x":1}],"Metrics.1.MetricName":"cpu","ns:code":"c"}`,
			har.Body{Text: `{"Period":60,"isPartial":true,"Type":["a",{"x":"[number]"}],"Metrics.1.MetricName":"cpu","ns:code":"c"}`, Comment: others},
		},
		{"name that is none", "", `{"金":"x","a b":1,"AKLTyl2l3e5gQAKkv7oEwH2O8g":2}`, har.Body{Text: `{"_name":"[string]","_name":"[number]","_name":"[number]"}`, Comment: others}},
		{"cut JSON", "", `{"Code":"a","List":[{"x":"y","Message":"abc`, har.Body{Text: `{"Code":"a","List":[{"x":"[string]","Message":null}]}`, Comment: others + "; the rest is left out"}},
		{"two texts", "", `{"Code":1} {"Code":2}`, har.Body{Text: `{"Code":1}`, Comment: others + "; the rest is left out"}},
		{"byte order mark", "", "\ufeff[]", har.Body{Text: "[]", Comment: others}},
		{"UTF-16", "", "{\x00\"\x00C\x00o\x00d\x00e\x00\"\x00:\x001\x00}\x00", har.Body{Text: `{"Code":1}`, Comment: others}},
		{
			"XML", "text/xml; charset=utf-8", "<?xml version=\"1.0\"?>\n<Response xmlns=\"u\"><Error><Code>A&amp;B</Code><Key>x</Key><Empty/></Error></Response>",
			har.Body{MIMEType: "text/xml", Text: "<Response><Error><Code>A&amp;B</Code><Key>[string]</Key><Empty/></Error></Response>", Comment: others},
		},
		{"cut XML", "", "<R><Code>Lim", har.Body{Text: "<R><Code></Code></R>", Comment: others + "; the rest is left out"}},
		{
			"HTML", "text/html", `<html><head><title>502 Bad Gateway</title><meta a=">"></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>`,
			har.Body{MIMEType: "text/html", Text: "<html><head><title>502 Bad Gateway</title><meta></meta></head><body><h1>502 Bad Gateway</h1><hr>[string]</hr></body></html>", Comment: others},
		},
		{
			"form", "application/x-www-form-urlencoded", "Action=GetMetricStatistics&Dimensions.1.Value=i-1&Period=60&x=\r\n",
			har.Body{MIMEType: "application/x-www-form-urlencoded", Params: []har.Field{{Name: "Action", Value: "GetMetricStatistics"}, {Name: "Dimensions.1.Value", Value: "[string]"}, {Name: "Period", Value: "60"}, {Name: "x"}}, Comment: others},
		},
		{"text", "text/plain", "no such thing", har.Body{MIMEType: "text/plain", Comment: "left out: it is neither JSON nor XML nor a form"}},
		{"unknown coding", "application/json", "\x1f\x8b\x08", har.Body{MIMEType: "application/json", Comment: "left out: the content coding is not supported"}},
		{"none", "application/json", "", har.Body{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields := map[string][]string{}
			if tt.kind != "" {
				fields["content-type"] = []string{tt.kind}
			}
			d := keep(t, New(Config{}), "id", exchange(canary.Request{Target: "/"}, fields, tt.body))
			if got := d.Response.Body; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestHeaderFields(t *testing.T) {
	request := canary.Request{Target: "/", Fields: [][2]string{{"X-Route", "blue"}}}
	s := New(Config{Headers: []string{"x-route", "authorization"}})
	d := keep(t, s, "id", exchange(request, map[string][]string{"server": {"nginx"}, "X-Internal": {"10.0.0.1"}, "Set-Cookie": {"a=b"}}, ""))
	got := map[string]string{}
	for _, f := range append(d.Request.Fields, d.Response.Fields...) {
		got[f.Name] = f.Value
	}
	want := map[string]string{"X-Route": "blue", "server": "nginx", "Set-Cookie": "REDACTED"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	assert.Equal(t, 40*time.Millisecond, d.Wait)
}

// TestBounds checks the limits of count, memory, body and age.
func TestBounds(t *testing.T) {
	body := `{"Message":"` + strings.Repeat("word ", 200) + `"}`
	o := exchange(canary.Request{Target: "/"}, nil, body)
	s := New(Config{Entries: 3})
	for i := range 5 {
		keep(t, s, strconv.Itoa(i), o)
	}
	if st := s.Stats(); st.Entries != 3 || st.Evicted != 2 || s.Find("1") != nil || s.Find("2") == nil {
		t.Errorf("%+v", st)
	}
	s = New(Config{Bytes: 5000})
	for i := range 10 {
		keep(t, s, strconv.Itoa(i), o)
	}
	if st := s.Stats(); st.Bytes > 5000 || st.Bytes < 2500 || st.Entries == 0 || s.Find("9") == nil {
		t.Errorf("%+v", st)
	}
	d := keep(t, New(Config{BodyBytes: 1024}), "id", exchange(canary.Request{Target: "/"}, nil, `["`+strings.Repeat(`x","`, 1000)+`"]`))
	if n := len(d.Response.Body.Text); n > 5*1024 || !strings.HasSuffix(d.Response.Body.Comment, "the rest is left out") {
		t.Errorf("%d bytes, %s", n, d.Response.Body.Comment)
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Age: time.Hour})
		keep(t, s, "a", o)
		<-time.After(40 * time.Minute)
		keep(t, s, "b", o)
		<-time.After(30 * time.Minute)
		synctest.Wait()
		if st := s.Stats(); st.Entries != 1 || s.Find("a") != nil || s.Find("b") == nil {
			t.Errorf("after 70 minutes: %+v", st)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if st := s.Stats(); st.Entries != 0 || st.Bytes != 0 || len(s.byID) != 0 {
			t.Errorf("after 130 minutes: %+v", st)
		}
	})
}

// TestCopiesAreBounded checks that exchanges that wait to be scrubbed do not fill the
// memory.
func TestCopiesAreBounded(t *testing.T) {
	s := New(Config{})
	o := exchange(canary.Request{Target: "/"}, nil, strings.Repeat("x", 1<<20))
	o.RequestBody = make([]byte, 1<<20)
	var all []*Copy
	for c := s.Copy(o); c != nil; c = s.Copy(o) {
		all = append(all, c)
	}
	if len(all) != 7 { // of 1 MiB + 16 KiB
		t.Errorf("%d copies", len(all))
	}
	for _, c := range all {
		c.Release()
	}
	assert.Zero(t, s.copied.Load(), "bytes are left")
	var none *Store
	none.Copy(o).Release()
	assert.Nil(t, none.Find("id"), "a store that is off has an exchange")
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"Code":"a","x":[1,true,null,{"y":"z"}]}`, `[[[[`, `{"a":`, `{"a":1,}`, "<a b='>'><c/>t</a>", "<!-- <a>", "<![CDATA[x]]>", "</a><a></b>", "a=b&c=%zz;d", "\xff\xfe{\x00",
		"<-></->",
	} {
		f.Add([]byte(s), "application/json")
	}
	f.Add([]byte("a=b"), "application/x-www-form-urlencoded")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		o := exchange(canary.Request{Target: "/", Body: string(body), Fields: [][2]string{{"Authorization", "Bearer canary/word=horse"}, {"Content-Type", kind}}},
			map[string][]string{"Content-Type": {kind}}, strings.ReplaceAll(string(body), "Code", "canary/word=horse"))
		d := keep(t, New(Config{}), "id", o)
		for _, m := range []*har.Message{&d.Request, &d.Response} {
			check(t, &m.Body)
		}
		assert.NotContains(t, d.Response.Body.Text, "canary/word=horse", "a secret")
	})
}

// check checks that a body is well-formed.
func check(t *testing.T, b *har.Body) {
	t.Helper()
	switch {
	case b.Text == "":
	case b.Text[0] == '<':
		d := xml.NewDecoder(strings.NewReader(b.Text))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil && !strings.Contains(err.Error(), "illegal character code") && !strings.Contains(err.Error(), "namespace") &&
				!strings.Contains(err.Error(), "expected element name") { // as of <a:>
				t.Fatalf("%v in %q", err, b.Text)
			} else if err != nil {
				return
			}
		}
	case !json.Valid([]byte(b.Text)):
		t.Errorf("no JSON: %q", b.Text)
	}
}

func BenchmarkCopy(b *testing.B) {
	o := exchange(canary.Request{Target: "/", Fields: [][2]string{{"Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Signature=ab"}}},
		map[string][]string{"Content-Type": {"application/json"}}, `{"RequestId":"3f0c","Error":{"Code":"LimitExceeded","Message":"slow down"}}`)
	s := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		s.Copy(o).Release()
	}
}

func BenchmarkAdd(b *testing.B) {
	o := exchange(canary.Request{Target: "/", Fields: [][2]string{{"Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Signature=ab"}}},
		map[string][]string{"Content-Type": {"application/json"}}, `{"RequestId":"3f0c","Error":{"Code":"LimitExceeded","Message":"slow down"}}`)
	s := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		c := s.Copy(o)
		s.Add("1m4q7t9k001x7f2", o, c)
		c.Release()
	}
}
