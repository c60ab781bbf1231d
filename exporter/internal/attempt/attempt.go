// Package attempt makes observations for tests: attempts with every kind of
// response, classified by the real classifier, and attempts without a response.
package attempt

import (
	"embed"
	"iter"
	"net/http"
	"net/netip"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

//go:embed testdata
var payloads embed.FS

// The secrets in the request of every attempt. None of them may appear in any
// output.
const (
	AccessKey = "AKLTcanaryAccessKey0123"
	Signature = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff"
	Token     = "canarySecurityToken/abc+def=="
)

// Start is the start time of every attempt.
var Start = time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)

// Named is an attempt with a name for test output.
type Named struct {
	Name        string
	Observation *classify.Observation
}

// request describes the request of an attempt.
type request struct {
	method, host, action, version string
}

var (
	statistics = request{http.MethodGet, "monitor.api.ksyun.com", "GetMetricStatistics", "2010-05-25"}
	batch      = request{http.MethodPost, "monitor.cn-beijing-6.api.ksyun.com", "GetMetricStatisticsBatch", "2018-11-14"}
	histories  = request{http.MethodGet, "monitor.api.ksyun.com", "DescribeAlertHistories", "2021-01-01"}
)

// kinds are the makers of every kind of attempt, in a fixed order.
var kinds = []struct {
	name string
	make func() *classify.Observation
}{
	{"success", func() *classify.Observation {
		return answered(statistics, 200, "success-gateway.json", 40*time.Millisecond)
	}},
	{"error_signature", func() *classify.Observation {
		return answered(statistics, 403, "gateway-error.json", 12*time.Millisecond)
	}},
	{"error_throttled", func() *classify.Observation {
		return answered(statistics, 409, "gateway-error-limit-exceeded.json", 8*time.Millisecond)
	}},
	{"error_receiver", func() *classify.Observation {
		return answered(statistics, 500, "gateway-error-receiver.json", 61*time.Second)
	}},
	{"error_xml", func() *classify.Observation { return answered(statistics, 403, "ssl-error.xml", 15*time.Millisecond) }},
	{"error_html", func() *classify.Observation { return answered(statistics, 502, "gateway-502.html", 5*time.Millisecond) }},
	{"partial", func() *classify.Observation {
		return answered(batch, 200, "batch-partial-failure.json", 350*time.Millisecond)
	}},
	{"masked", func() *classify.Observation {
		return answered(histories, 200, "gateway-error-receiver.json", 90*time.Millisecond)
	}},
	{"dry_run", func() *classify.Observation {
		return answered(batch, 412, "gateway-error-dryrun.json", 20*time.Millisecond)
	}},
	{"refused_connection", func() *classify.Observation { return unanswered(statistics, classify.FaultConnRefused, 0) }},
	{"broken_off", func() *classify.Observation { return unanswered(statistics, classify.FaultReset, 200) }},
	{"canceled", func() *classify.Observation { return unanswered(statistics, classify.FaultCanceled, 0) }},
	{"host_refused", func() *classify.Observation { return hostRefused() }},
}

// All returns a new attempt of every kind, in a fixed order.
func All() []Named {
	all := make([]Named, len(kinds))
	for i, k := range kinds {
		all[i] = Named{k.name, k.make()}
	}
	return all
}

// Get returns a new attempt by name. It panics if there is none.
func Get(name string) *classify.Observation {
	for _, k := range kinds {
		if k.name == name {
			return k.make()
		}
	}
	panic("no attempt named " + name)
}

// classifier uses the embedded catalogue.
var classifier = classify.New(classify.DefaultCatalog())

// answered returns an attempt that got the response in the file.
func answered(req request, status int, file string, took time.Duration) *classify.Observation {
	body, err := payloads.ReadFile("testdata/" + file)
	if err != nil {
		panic(err)
	}
	o := observed(req, took)
	o.FirstByte = o.End.Add(-time.Millisecond)
	o.ResponseBytes = int64(len(body))
	o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: status, Header: fields{}, Body: body})
	o.Date = o.End.Truncate(time.Second)
	if o.Verdict.Category == classify.CategoryAuth {
		o.Signature = classifier.Signature(&classify.Request{
			Method: req.method, Target: o.Target, Host: []byte(req.host), Header: fields{},
		}, signature.Extent{Body: true, Fields: true})
	}
	return o
}

// unanswered returns an attempt that got no complete response.
func unanswered(req request, f classify.Fault, status int) *classify.Observation {
	o := observed(req, 3*time.Millisecond)
	o.Fault = f
	o.Verdict = classifier.Fault(f, status)
	if f == classify.FaultConnRefused {
		o.Upstream = netip.AddrPort{}
	}
	return o
}

// hostRefused returns a request for a host that is not served.
func hostRefused() *classify.Observation {
	o := unanswered(request{http.MethodGet, "example.org", "", ""}, classify.FaultHostRefused, 0)
	o.Upstream = netip.AddrPort{}
	o.Credential = ""
	return o
}

// observed returns an attempt without its end. The request is presigned, so that
// the target contains secrets.
func observed(req request, took time.Duration) *classify.Observation {
	target := "/?Action=" + req.action + "&Version=" + req.version +
		"&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&MetricName=cpu.utilizition.total" +
		"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + AccessKey +
		"%2F20261123%2Fcn-beijing-6%2Fmonitor%2Faws4_request&X-Amz-Date=20261123T080000Z" +
		"&X-Amz-SignedHeaders=host&X-Amz-Security-Token=" + Token + "&X-Amz-Signature=" + Signature
	if req.action == "" {
		target = "/"
	}
	call, _ := classifier.Request(&classify.Request{
		Method: req.method, Target: []byte(target), Host: []byte(req.host), Header: fields{},
	})
	return &classify.Observation{ //nolint:gosec // the secrets are not real
		Call:         call,
		Start:        Start,
		End:          Start.Add(took),
		Source:       classify.SourceForward,
		Method:       req.method,
		Protocol:     "1.1",
		Scheme:       "http",
		Port:         80,
		Target:       []byte(target),
		Client:       netip.MustParseAddrPort("127.0.0.1:41000"),
		Upstream:     netip.MustParseAddrPort("192.0.2.7:80"),
		UserAgent:    []byte("aws-sdk-go/1.25.3 (go1.21; linux; amd64)"),
		RequestBytes: int64(len(target)),
		Credential:   "key-5f2c9a",
	}
}

// fields is an empty classify.Header.
type fields struct{}

// Get implements classify.Header.
func (fields) Get(string) []byte { return nil }

// Fields implements classify.Header.
func (fields) Fields() iter.Seq2[[]byte, []byte] { return func(func(name, value []byte) bool) {} }
