package day

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/savedhttp"
)

var classifier = classify.New(classify.DefaultCatalog())

// world is the gateway, and the tap in front of it.
type world struct {
	now     time.Time // of the gateway
	gateway *cloudmonitor.Server
	d       *diagnosis.Diagnoser
	score   *score
	port    uint16
}

// run runs a plan and returns what was found.
func run(p *plan) *score {
	w := &world{d: diagnosis.New(), score: newScore()}
	w.gateway = cloudmonitor.New(cloudmonitor.Config{
		Credentials: append(append([]cloudmonitor.Credential(nil), sharedKeys...), p.keys...), Limits: true, Now: func() time.Time { return w.now },
		Errors: []cloudmonitor.Error{
			{Status: 500, Code: "INTERNAL_FAILURE", Message: "internal failure"},
			{Status: 503, Code: "RequestLimitExceeded", Message: "Request limit exceeded."},
			{Status: 400, Code: "InvalidTimestamp", Message: "Invalid Timestamp. Pls in 15mins"},
		},
	})
	w.d.Notify(w.score.notice)
	for _, s := range p.sorted() {
		w.now = s.at
		s.run(w)
	}
	w.score.events(p.events)
	w.score.totals(w.d, w.now.Add(time.Hour))
	return w.score
}

// attempt makes an attempt and scores what is found out about it.
func (w *world) attempt(scenario string, a *attempt) {
	o := w.observe(a)
	w.score.attempts++
	w.score.scenario, w.score.ran[scenario] = scenario, true
	want := cmp.Or(a.want, classify.OutcomeSuccess)
	if o.Verdict.Outcome != want {
		w.score.miss(scenario, "outcome", string(o.Verdict.Outcome)+" "+o.Verdict.Code+" "+o.Verdict.Message+", want "+string(want))
		w.score.broken++
	}
	if a.category != "" {
		w.score.probe("category", o.Verdict.Category == a.category)
		if o.Verdict.Category != a.category {
			w.score.miss(scenario, "category", string(o.Verdict.Category)+", want "+string(a.category))
		}
	}
	all := w.diagnose(o)
	for _, d := range all {
		switch {
		case d.Certainty == diagnosis.Possible:
			w.score.given("possible " + string(d.Cause))
		case d.Certainty != diagnosis.Excluded || d.Cause == diagnosis.CauseClockRight:
			w.score.given(string(d.Cause))
		}
	}
	w.score.attempt(scenario, o, a, given(all))
}

// diagnose passes an attempt to the Diagnoser as the pipeline does.
func (w *world) diagnose(o *classify.Observation) []diagnosis.Diagnosis {
	var at diagnosis.Attempt
	w.d.OnFinding(func(_ *classify.Observation, f *diagnosis.Finding) { at.Finding = f })
	if !w.d.ObserveLater(o) {
		at = w.d.Observe(o)
	}
	w.d.Flush()
	if f := at.Finding; f != nil {
		return []diagnosis.Diagnosis{{Cause: f.Cause, Certainty: diagnosis.Certain}}
	}
	if !o.Verdict.Outcome.Failed() {
		return nil
	}
	return w.d.Diagnose(o, at)
}

// given returns the causes that a user is shown as the cause: those that are certain
// or likely. A clock that is excluded is one as well, and so is the one cause that
// is never more than possible.
func given(all []diagnosis.Diagnosis) (causes []diagnosis.Cause) {
	for _, d := range all {
		switch {
		case d.Certainty == diagnosis.Certain, d.Certainty == diagnosis.Likely, d.Cause == diagnosis.CauseClockRight, d.Cause == diagnosis.CauseCallsRedundant:
			causes = append(causes, d.Cause)
		}
	}
	return causes
}

// observe makes an attempt and returns what the tap sees of it.
func (w *world) observe(a *attempt) *classify.Observation {
	wire := a.request()
	if a.wire != nil {
		wire = a.wire(string(wire))
	}
	q := requestOf(wire)
	w.port++
	o := &classify.Observation{
		Start: a.at, FirstByte: a.at.Add(a.took), End: a.at.Add(a.took), Method: q.Method, Scheme: or(a.by.scheme, "http"), Port: 80, Protocol: "1.1",
		Client: netip.AddrPortFrom(netip.MustParseAddr(a.by.addr), 10000+w.port%50000), Upstream: netip.MustParseAddrPort("198.51.100.7:80"),
		Source: classify.SourceForward, Target: q.Target, RequestBody: q.Body, UserAgent: []byte(a.by.agent),
		RequestBytes: int64(len(wire)), Fault: a.fault,
	}
	var secrets classify.Secrets
	o.Call, secrets = classifier.Request(q)
	if len(secrets.AccessKey) > 0 {
		o.Credential = hash(string(secrets.AccessKey))
	}
	if a.fault != classify.FaultNone {
		o.FirstByte = time.Time{}
		o.Verdict = classifier.Fault(a.fault, a.status)
		return o
	}
	res := w.respond(a, wire)
	o.ResponseBody, o.ResponseBytes = res.Body, int64(len(res.Body))
	o.Verdict = classifier.Response(&o.Call, res)
	o.Date = classify.ServerTime(res.Header)
	if o.Verdict.NotAuthenticated() {
		o.Signature = classifier.Signature(q, signature.Extent{Body: true, Fields: true})
	}
	if o.Verdict.Outcome == classify.OutcomePartial {
		o.Items = classifier.Items(o.RequestBody, res, o.Verdict.FailedItems)
	}
	return o
}

// hash returns how a credential is named.
func hash(accessKey string) string { return classify.HashAccessKey([]byte("day"), []byte(accessKey)) }

// respond has the gateway answer the request.
func (w *world) respond(a *attempt, wire []byte) *classify.Response {
	if a.reply != nil {
		kind := cmp.Or(a.reply.kind, "application/json")
		return &classify.Response{Status: a.reply.status, Body: []byte(a.reply.body), Header: savedhttp.Fields{
			{Name: "Content-Type", Value: kind},
			{Name: "X-KSC-REQUEST-ID", Value: "00000000-1111-4222-8333-444444444444"},
			{Name: "Date", Value: w.now.UTC().Format(http.TimeFormat)},
		}}
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		panic(err) // the table is wrong
	}
	if text := a.do.String(); text != "" {
		r.Header.Set(cloudmonitor.DirectiveField, text)
	}
	rec := httptest.NewRecorder()
	w.gateway.ServeHTTP(rec, r)
	var fields savedhttp.Fields
	for name, values := range rec.Header() {
		for _, v := range values {
			fields = append(fields, savedhttp.Field{Name: name, Value: v})
		}
	}
	return &classify.Response{Status: rec.Code, Header: fields, Body: rec.Body.Bytes()}
}

// request returns the request of an attempt as it is on the wire.
func (a *attempt) request() []byte {
	at := a.at.Add(a.by.skew - a.signed)
	params := url.Values{"Action": {a.action}, "Version": {a.version}}
	maps.Copy(params, a.params)
	if a.by.sign == "simple" {
		cloudmonitor.SignSimple(params, a.by.key, "monitor", at)
	}
	host := or(a.host, "monitor.api.ksyun.com")
	service, _, _ := strings.Cut(host, ".")
	method := http.MethodGet
	if a.body != "" {
		method = http.MethodPost
	}
	query := strings.ReplaceAll(params.Encode(), "+", "%20")
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+host+"/?"+query, strings.NewReader(a.body))
	if err != nil {
		panic(err) // the table is wrong
	}
	r.Header.Set("Accept", or(a.by.accept, "application/json"))
	r.Header.Set("User-Agent", a.by.agent)
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	scope := cloudmonitor.Scope{Region: or(a.by.region, "cn-beijing-6"), Service: or(a.service, service)}
	switch a.by.sign {
	case "", "v4":
		cloudmonitor.SignV4(r, []byte(a.body), a.by.key, scope, at, "accept")
	case "presigned":
		cloudmonitor.Presign(r, []byte(a.body), a.by.key, scope, at)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		panic(err) // a buffer returns no error
	}
	return wire.Bytes()
}

// requestOf reads a request as the tap does.
func requestOf(wire []byte) *classify.Request {
	saved, err := savedhttp.Parse(wire)
	if err != nil {
		panic(err) // the table is wrong
	}
	return &classify.Request{
		Method: saved.Request.Method, Target: []byte(saved.Request.Target), Host: saved.Request.Fields.Get("Host"),
		Header: saved.Request.Fields, Body: saved.Request.Body,
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
