package diagnosis

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// lab plays programs that call the simulator, at times of its own, and shows a
// Diagnoser what the tap sees of each call.
type lab struct {
	t       testing.TB
	now     time.Time
	gateway *cloudmonitor.Server
	d       *Diagnoser
	notices []Notice
	at      Attempt // of the last attempt
	n       int
}

// attempt is one attempt that a program makes. The zero value is a successful one.
type attempt struct {
	wait   time.Duration // before it
	skew   time.Duration // of the clock that it is signed with
	as     *cloudmonitor.Credential
	from   string // address of the program
	agent  string // the User-Agent
	host   string
	region string
	method string
	query  string
	body   string
	do     cloudmonitor.Directive
	took   time.Duration
	port   uint16
}

const getStatistics = "Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total" +
	"&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&StartTime=2026-11-23T07:00:00Z&EndTime=2026-11-23T07:30:00Z&Period=60"

func newLab(t testing.TB, limits bool) *lab {
	l := &lab{t: t, now: epoch, d: New()}
	l.gateway = cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{credential}, Limits: limits, Now: func() time.Time { return l.now },
		Errors: []cloudmonitor.Error{{Status: http.StatusBadRequest, Code: "RequestTooLarge", Message: "Request information is too large"}},
	})
	l.d.Notify(func(e Notice) { l.notices = append(l.notices, e) })
	return l
}

// do makes an attempt and returns what the tap saw of it, and why it failed.
func (l *lab) do(a attempt) (*classify.Observation, []Diagnosis) {
	l.t.Helper()
	o := l.see(a)
	l.at = Attempt{}
	if !l.d.ObserveLater(o) {
		l.at = l.d.Observe(o)
	}
	if !o.Verdict.Outcome.Failed() {
		return o, nil
	}
	all := l.d.Diagnose(o, l.at)
	checkShown(l.t, o.Verdict.Code, all)
	return o, all
}

// see makes an attempt and returns what the tap saw of it.
func (l *lab) see(a attempt) *classify.Observation {
	l.t.Helper()
	l.n++
	l.now = l.now.Add(a.wait)
	as := credential
	if a.as != nil {
		as = *a.as
	}
	if a.query == "" {
		a.query = getStatistics
	}
	if a.method == "" {
		a.method = http.MethodGet
		if a.body != "" {
			a.method = http.MethodPost
		}
	}
	host := or(a.host, "monitor.api.ksyun.com")
	service, _, _ := strings.Cut(host, ".")
	r, err := http.NewRequestWithContext(context.Background(), a.method, "http://"+host+"/?"+a.query, strings.NewReader(a.body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	cloudmonitor.SignV4(r, []byte(a.body), as, cloudmonitor.Scope{Region: or(a.region, "cn-beijing-6"), Service: service}, l.now.Add(a.skew))
	if text := a.do.String(); text != "" {
		r.Header.Set(cloudmonitor.DirectiveField, text)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		l.t.Fatal(err)
	}
	q := requestOf(l.t, wire.Bytes())
	sent, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		l.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	l.gateway.ServeHTTP(w, sent)

	took := a.took
	if took == 0 {
		took = 20 * time.Millisecond
	}
	o := &classify.Observation{
		Start: l.now, FirstByte: l.now.Add(took), End: l.now.Add(took), Method: a.method,
		Client: netip.AddrPortFrom(netip.MustParseAddr(or(a.from, "192.0.2.9")), 40000+a.port), Source: classify.SourceForward,
		Credential: classify.HashAccessKey([]byte("lab"), []byte(as.AccessKey)), Target: q.Target, RequestBody: q.Body,
		Scheme: "http", UserAgent: []byte(a.agent), ResponseBody: w.Body.Bytes(),
	}
	l.now = o.End
	o.Call, _ = classifier.Request(q)
	response := fieldsOf(w.Header())
	o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: w.Code, Header: response, Body: w.Body.Bytes()})
	o.Date = classify.ServerTime(response)
	if o.Verdict.NotAuthenticated() {
		o.Signature = classifier.Signature(q, signature.Extent{Body: true, Fields: true})
	}
	return o
}

// findingOf passes a success to d as the pipeline does, and returns the finding about it.
func findingOf(d *Diagnoser, o *classify.Observation) (f *Finding) {
	d.OnFinding(func(_ *classify.Observation, later *Finding) { f = later })
	if !d.ObserveLater(o) {
		return d.Observe(o).Finding
	}
	d.Flush()
	return f
}

// repeat makes n attempts.
func (l *lab) repeat(n int, a attempt) {
	l.t.Helper()
	for range n {
		l.do(a)
	}
}

// noticed returns the causes of the events so far, except that of the first use of
// a key.
func (l *lab) noticed() (all []Cause) {
	for _, e := range l.notices {
		if e.Cause != CauseKeyFirstSeen {
			all = append(all, e.Cause)
		}
	}
	return all
}

// want checks the events so far.
func (l *lab) want(causes ...Cause) {
	l.t.Helper()
	l.d.Flush()
	if got := l.noticed(); !slices.Equal(got, causes) {
		l.t.Errorf("noticed %v, want %v", got, causes)
	}
	for _, e := range l.notices {
		checkShown(l.t, string(e.Cause), []Diagnosis{e.Diagnosis})
	}
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// with returns a query with a parameter changed.
func with(query, name, value string) string {
	v, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	v.Set(name, value)
	return v.Encode()
}

// causesOf returns the causes of diagnoses.
func causesOf(all []Diagnosis) (causes []Cause) {
	for _, d := range all {
		causes = append(causes, d.Cause)
	}
	return causes
}
