package cloudmonitor

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Traffic is a program that calls the API for the demo. Most calls succeed, and
// the others fail in all known ways.
type Traffic struct {
	// Client sends the calls.
	Client *http.Client
	// Host is the host of the API, such as "monitor.api.ksyun.com".
	Host string
	// DeadHost is a host on which nothing listens. If empty, it is not called.
	DeadHost string
	// Good signs the calls that should succeed. Denied has no permissions, and
	// Foreign owns no resources.
	Good, Denied, Foreign Credential
	// Codes are the errors to ask the simulator for.
	Codes []string
}

// Run makes one call after each pace until ctx is done. All kinds of failing calls
// take turns, with some successful calls in between.
func (t *Traffic) Run(ctx context.Context, pace time.Duration) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	bad := t.Bad()
	for i := 0; ; i++ {
		call := t.good()
		if i%3 == 2 {
			call = bad[(i/3)%len(bad)]
		}
		t.Send(ctx, call)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// CallSpec describes a call.
type CallSpec struct {
	Name    string
	Method  string
	Host    string // "" means Traffic.Host
	Action  string
	Version string
	Params  url.Values
	Body    string
	Accept  string
	Sign    string // "v4" (also ""), "presigned", "simple", "none"
	Region  string // of the signature's scope; "" means cn-beijing-6
	As      Credential
	Skew    time.Duration
	Do      Directive
	Timeout time.Duration // after which the program gives up; 0 means never
}

// Send makes one call and returns the status, or 0 without a response. The
// response's body is discarded.
func (t *Traffic) Send(ctx context.Context, c CallSpec) int {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	r, err := t.request(ctx, c)
	if err != nil {
		return 0
	}
	res, err := t.Client.Do(r)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // some calls have a body that breaks off
	return res.StatusCode
}

func (t *Traffic) request(ctx context.Context, c CallSpec) (*http.Request, error) {
	now := time.Now().Add(c.Skew)
	params := url.Values{"Action": {c.Action}, "Version": {c.Version}}
	maps.Copy(params, c.Params)
	if c.Sign == "simple" {
		SignSimple(params, c.As, "monitor", now)
	}
	host := cmp.Or(c.Host, t.Host)
	method := cmp.Or(c.Method, http.MethodGet)
	r, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/?"+params.Encode(), bytes.NewReader([]byte(c.Body)))
	if err != nil {
		return nil, err
	}
	accept := cmp.Or(c.Accept, "application/json")
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "ksyun-tap-demo/1")
	if c.Body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	scope := Scope{Region: cmp.Or(c.Region, "cn-beijing-6"), Service: "monitor"}
	switch c.Sign {
	case "", "v4":
		SignV4(r, []byte(c.Body), c.As, scope, now, "accept")
	case "presigned":
		Presign(r, []byte(c.Body), c.As, scope, now)
	}
	if d := c.Do.String(); d != "" {
		r.Header.Set(DirectiveField, d)
	}
	return r, nil
}

// instance is a resource that everyone may ask for.
const instance = "00000000-aaaa-4bbb-8ccc-000000000001"

func span(back time.Duration) url.Values {
	now := time.Now().UTC().Truncate(time.Minute)
	return url.Values{
		"Namespace": {"KEC"}, "MetricName": {"cpu.utilizition.total"}, "InstanceID": {instance},
		"StartTime": {now.Add(-back).Format(time.RFC3339)}, "EndTime": {now.Format(time.RFC3339)},
		"Period": {"60"}, "Aggregate": {"Average"},
	}
}

// with returns v with one parameter changed. value "" removes it.
func with(v url.Values, name, value string) url.Values {
	if value == "" {
		v.Del(name)
	} else {
		v.Set(name, value)
	}
	return v
}

func batch(n int) string {
	now := time.Now().UTC().Truncate(time.Minute)
	item := `{"InstanceID":"` + instance + `","MetricName":"cpu.utilizition.total"}`
	return `{"Namespace":"KEC","Period":"60","StartTime":"` + now.Add(-10*time.Minute).Format(time.RFC3339) +
		`","EndTime":"` + now.Format(time.RFC3339) + `","Metrics":[` + strings.Repeat(item+",", n-1) + item + `]}`
}

// good returns a call that succeeds.
func (t *Traffic) good() CallSpec {
	calls := []CallSpec{
		{Action: "GetMetricStatistics", Version: "2010-05-25", Params: span(10 * time.Minute)},
		{Action: "GetMetricStatistics", Version: "2010-05-25", Params: span(time.Hour), Accept: "*/*"},
		{Action: "GetMetricStatistics", Version: "2023-07-12", Params: span(time.Hour), Sign: "simple"},
		{Action: "ListMetrics", Version: "2010-05-25", Params: url.Values{"Namespace": {"KEC"}}},
		{Action: "ListMetrics", Version: "2010-05-25", Params: url.Values{"Namespace": {"KRDS"}}, Sign: "presigned"},
		{Action: "ListAlarmPolicy", Version: "2021-01-01", Params: url.Values{"PageSize": {"10"}}},
		{Action: "GetPrometheusToken", Version: "2025-01-01"},
		{Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", Body: batch(3)},
	}
	c := calls[rand.IntN(len(calls))] //nolint:gosec // not used for security
	c.As = t.Good
	return c
}

// Bad returns all kinds of failing calls: those caused by mistakes of the program
// or by the transport, and one for each of Codes.
func (t *Traffic) Bad() []CallSpec {
	get := CallSpec{Action: "GetMetricStatistics", Version: "2010-05-25", As: t.Good}
	stat := func(name string, change func(*CallSpec)) CallSpec {
		c := get
		c.Name, c.Params = name, span(10*time.Minute)
		change(&c)
		return c
	}
	wrongKey := t.Good
	wrongKey.SecretKey = "not-the-secret-key"
	unknownKey := t.Good
	unknownKey.AccessKey = "AKLTdemoUnknownKey00"
	post := CallSpec{Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", As: t.Good}

	calls := []CallSpec{
		stat("unsigned", func(c *CallSpec) { c.Sign = "none" }),
		stat("wrong secret key", func(c *CallSpec) { c.As = wrongKey }),
		stat("unknown access key", func(c *CallSpec) { c.As = unknownKey }),
		stat("clock off", func(c *CallSpec) { c.Skew = -time.Hour }),
		stat("clock off, simple signature", func(c *CallSpec) { c.Skew, c.Sign = -time.Hour, "simple" }),
		stat("unknown access key, simple signature", func(c *CallSpec) { c.As, c.Sign = unknownKey, "simple" }),
		stat("no policy", func(c *CallSpec) { c.As = t.Denied }),
		stat("somebody else's resource", func(c *CallSpec) { c.As = t.Foreign }),
		stat("no such action", func(c *CallSpec) { c.Action = "GetMetricStatistic" }),
		stat("parameter missing", func(c *CallSpec) { c.Params = with(c.Params, "EndTime", "") }),
		stat("period 0", func(c *CallSpec) { c.Params = with(c.Params, "Period", "0") }),
		stat("no such namespace", func(c *CallSpec) { c.Params = with(c.Params, "Namespace", "NONE") }),
		stat("no such metric", func(c *CallSpec) { c.Params = with(c.Params, "MetricName", "cpu.none") }),
		stat("short instance id", func(c *CallSpec) { c.Params = with(c.Params, "InstanceID", "short") }),
		stat("dry run", func(c *CallSpec) { c.Params = with(c.Params, "DryRun", "true") }),
		stat("error in 200", func(c *CallSpec) { c.Do = Directive{Error: "ServiceTimeout", Status: 200} }),
		stat("error as a string in 200", func(c *CallSpec) {
			c.Do = Directive{Error: "BrandNewError", Status: 200, Shape: "string"}
		}),
		stat("throttled in XML", func(c *CallSpec) { c.Do, c.Accept = Directive{Error: "LimitExceeded"}, "*/*" }),
		stat("load balancer", func(c *CallSpec) { c.Do = Directive{Error: "ServiceUnavailable", Status: 502, Shape: "html"} }),
		stat("gateway time-out", func(c *CallSpec) { c.Do = Directive{Error: "ServiceTimeout", Status: 504, Shape: "html"} }),
		stat("code nobody knows", func(c *CallSpec) { c.Do = Directive{Error: "BrandNewError", Status: 418} }),
		stat("error without text", func(c *CallSpec) { c.Do = Directive{Error: "ServiceUnavailable", Status: 503, Shape: "empty"} }),
		stat("reset", func(c *CallSpec) { c.Do = Directive{Fault: "reset"} }),
		stat("closed", func(c *CallSpec) { c.Do = Directive{Fault: "close"} }),
		stat("truncated", func(c *CallSpec) { c.Do = Directive{Fault: "truncate"} }),
		stat("given up", func(c *CallSpec) { c.Do, c.Timeout = Directive{Fault: "hang"}, 300*time.Millisecond }),
	}
	partial := post
	partial.Name, partial.Body, partial.Do = "partial batch", batch(5), Directive{Partial: 2}
	large := post
	large.Name, large.Body = "batch too large", batch(maxBatchMetrics+1)
	calls = append(calls, partial, large)
	if t.DeadHost != "" {
		calls = append(calls, stat("unreachable", func(c *CallSpec) { c.Host = t.DeadHost }))
	}
	for _, code := range t.Codes {
		calls = append(calls, stat(code, func(c *CallSpec) { c.Do = Directive{Error: code} }))
	}
	return calls
}
