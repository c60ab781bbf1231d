// Package transport observes the calls of a Go program from within: it wraps the
// http.RoundTripper of an http.Client.
//
//	http.Client ──> RoundTripper ──> next, such as http.DefaultTransport
//	                     └─────────> Sink
package transport

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// DefaultInspectBytes is the default of Config.InspectBytes.
const DefaultInspectBytes = 64 << 10

// Config configures a RoundTripper. Only Sink is required.
type Config struct {
	// Sink receives the calls. If nil, calls are passed to the wrapped
	// RoundTripper unobserved.
	Sink classify.Sink
	// Classifier interprets the calls. If nil, one with the built-in catalogue is
	// used.
	Classifier *classify.Classifier
	// TapHosts are the hosts whose calls are observed. If empty, those
	// of classify.APIHosts are.
	TapHosts hostname.Patterns
	// InspectBytes is the size of the prefix of each body that is inspected. 0
	// means DefaultInspectBytes.
	InspectBytes int
	// CredentialKey is the key of the hash that identifies access keys
	// (classify.Observation.Credential). If nil, a random key is used, and the
	// hashes change with every start.
	CredentialKey []byte
}

// RoundTripper is an http.RoundTripper that reports a program's calls to a Sink.
// It is safe for concurrent use.
type RoundTripper struct {
	next   http.RoundTripper
	cfg    Config
	panics atomic.Int64
}

var _ http.RoundTripper = (*RoundTripper)(nil)

// errNoResponse stands for a RoundTripper that returns neither a response nor an
// error, which http.Client reports as an error.
var errNoResponse = errors.New("no response and no error")

// New returns a RoundTripper that sends requests with next and reports
// each call to a tapped host to cfg.Sink. If next is nil, http.DefaultTransport
// is used. Requests, responses and errors are those of next. Bodies are
// streamed, and no more of them is read than the program reads.
//
// There is one Observation for each RoundTrip, and therefore for each redirect
// and each retry by the program, but not for retries within next. It is made on
// the goroutine that ends the call: by reading the response's body to its end,
// by closing it, or by an error of RoundTrip. If the program neither reads nor
// closes the body, there is none. If it closes the body early, only what was
// read is classified.
//
// RequestBytes and ResponseBytes count bodies only, because next writes the
// heads.
func New(next http.RoundTripper, cfg Config) *RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	if cfg.Classifier == nil {
		cfg.Classifier = classify.New(classify.DefaultCatalog())
	}
	cfg.TapHosts = slices.Clone(cfg.TapHosts)
	if len(cfg.TapHosts) == 0 {
		cfg.TapHosts = classify.APIHosts()
	}
	if cfg.InspectBytes <= 0 {
		cfg.InspectBytes = DefaultInspectBytes
	}
	cfg.CredentialKey = slices.Clone(cfg.CredentialKey)
	if cfg.CredentialKey == nil {
		cfg.CredentialKey = make([]byte, 32)
		rand.Read(cfg.CredentialKey)
	}
	return &RoundTripper{next: next, cfg: cfg}
}

// RoundTrip implements http.RoundTripper.
func (t *RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.cfg.Sink == nil || r == nil || r.URL == nil || !t.taps(r) {
		return t.next.RoundTrip(r)
	}
	x := &exchange{t: t, request: r}
	x.obs.Start = time.Now()
	traced := r.WithContext(httptrace.WithClientTrace(r.Context(), x.trace()))
	x.begin()
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		x.sent = &prefix{limit: t.cfg.InspectBytes}
		traced.Body = &sentBody{ReadCloser: r.Body, x: x}
	}
	resp, err := t.next.RoundTrip(traced)
	if err != nil || resp == nil {
		x.fail(cmp.Or(err, errNoResponse))
		return resp, err
	}
	if resp.Request == traced {
		resp.Request = r
	}
	x.watch(resp)
	return resp, nil
}

// CloseIdleConnections closes the idle connections of the wrapped RoundTripper,
// if it can. http.Client.CloseIdleConnections calls it.
func (t *RoundTripper) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Panics returns the number of panics, mostly of the sink, that were recovered
// so that the program did not see them.
func (t *RoundTripper) Panics() int64 { return t.panics.Load() }

// taps reports whether the request is for a tapped host, by its Host field or by
// its URL, because a program may send a host's calls to another address.
func (t *RoundTripper) taps(r *http.Request) bool {
	for _, authority := range [...]string{r.Host, r.URL.Host} {
		if host, _ := hostname.Of(authority); host != "" && t.cfg.TapHosts.Match(host) {
			return true
		}
	}
	return false
}

// guard recovers from a panic of the sink, or in making an observation, so that
// the call is not affected.
func (t *RoundTripper) guard() {
	if p := recover(); p != nil {
		t.panics.Add(1)
	}
}

// exchange is one RoundTrip and its observation.
type exchange struct {
	t       *RoundTripper
	request *http.Request
	asked   classify.Request
	secrets classify.Secrets
	obs     classify.Observation
	once    sync.Once // guards the single call of Observe

	mu        sync.Mutex // guards the fields below, which hooks and bodies set from other goroutines
	sent      *prefix    // of a request's body that is recorded while next reads it; else nil
	sentErr   bool       // reading that body failed
	dialing   bool
	upstream  netip.AddrPort
	firstByte time.Time
}

// trace returns hooks that record the connection and the first byte.
func (x *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { x.setDialing() },
		ConnectStart: func(string, string) { x.setDialing() },
		GotConn: func(info httptrace.GotConnInfo) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.dialing = false
			x.upstream, _ = netip.ParseAddrPort(info.Conn.RemoteAddr().String())
		},
		GotFirstResponseByte: func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.firstByte = time.Now()
		},
	}
}

func (x *exchange) setDialing() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dialing = true
}

// begin reads the call from the request and announces it to the sink.
func (x *exchange) begin() {
	defer x.t.guard()
	r, o := x.request, &x.obs
	host := cmp.Or(r.Host, r.URL.Host)
	x.asked = classify.Request{
		Method: classify.MethodName(cmp.Or(r.Method, http.MethodGet)),
		Target: []byte(r.URL.RequestURI()),
		Host:   []byte(host),
		Header: classify.HeaderMap(r.Header),
		Body:   x.t.peek(r),
	}
	o.Call, x.secrets = x.t.cfg.Classifier.Request(&x.asked)
	o.Source = classify.SourceTransport
	o.Method, o.Target = x.asked.Method, x.asked.Target
	if o.Method == classify.MethodOther {
		o.MethodOriginal = []byte(r.Method)
	}
	o.Scheme, o.Port = r.URL.Scheme, port(r)
	o.UserAgent = []byte(r.Header.Get("User-Agent"))
	o.Traceparent = []byte(r.Header.Get("Traceparent"))
	o.Tracestate = []byte(r.Header.Get("Tracestate"))
	o.RequestBytes = max(0, r.ContentLength)
	x.t.cfg.Sink.Begin(&o.Call)
}

// peek returns the first bytes of a request's body if it can be read again
// (GetBody). The body itself is left alone, so that next treats it as usual.
func (t *RoundTripper) peek(r *http.Request) []byte {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close()
	b, _ := io.ReadAll(io.LimitReader(body, int64(t.cfg.InspectBytes)))
	return b
}

// fail ends an exchange that got no response.
func (x *exchange) fail(err error) {
	x.end(func() (classify.Fault, classify.Verdict) {
		fault := x.fault(err)
		return fault, x.t.cfg.Classifier.Fault(fault, 0)
	}, 0)
}

// watch makes the exchange end with its response's body. It ends at once if
// there is no body, or one that the program also writes to (an upgrade).
func (x *exchange) watch(resp *http.Response) {
	x.mu.Lock()
	if x.firstByte.IsZero() { // next does not call the hook
		x.firstByte = time.Now()
	}
	x.mu.Unlock()
	x.obs.Protocol = protocol(resp)
	body := &receivedBody{ReadCloser: resp.Body, x: x, status: resp.StatusCode, header: resp.Header}
	body.kept.limit = x.t.cfg.InspectBytes
	if resp.Body == nil || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		body.finish(io.EOF)
		return
	}
	resp.Body = body
}

// end observes the exchange the first time that it is called. judge returns the
// fault and the verdict.
func (x *exchange) end(judge func() (classify.Fault, classify.Verdict), received int64) {
	x.once.Do(func() {
		defer x.t.guard()
		o := &x.obs
		o.End, o.ResponseBytes = time.Now(), received
		o.Fault, o.Verdict = judge()
		x.addSeen()
		o.Credential = classify.HashAccessKey(x.t.cfg.CredentialKey, x.secrets.AccessKey)
		o.Verdict.AdoptRequestID(x.asked.Header)
		o.Verdict.Scrub(&x.asked, x.secrets)
		o.RequestBody, o.RequestHeader = x.asked.Body, x.asked.Header
		if o.Verdict.NotAuthenticated() {
			o.Signature = x.t.cfg.Classifier.Signature(&x.asked, signature.Extent{
				Body: int64(len(x.asked.Body)) == x.request.ContentLength,
			})
		}
		x.t.cfg.Sink.Observe(o)
	})
}

// addSeen adds what hooks and the request's body have recorded to the
// observation.
func (x *exchange) addSeen() {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := &x.obs
	o.FirstByte, o.Upstream = x.firstByte, x.upstream
	if x.sent == nil {
		return
	}
	o.RequestBytes = x.sent.n
	service := o.Call.Service // as it began
	x.asked.Body = x.sent.b
	o.Call, x.secrets = x.t.cfg.Classifier.Request(&x.asked)
	o.Call.Service = service
}

// protocol returns the version of HTTP of a response, or "" if it is not known.
func protocol(resp *http.Response) string {
	switch {
	case resp.ProtoMajor == 1 && resp.ProtoMinor == 0:
		return "1.0"
	case resp.ProtoMajor == 1:
		return "1.1"
	case resp.ProtoMajor > 1:
		return strconv.Itoa(resp.ProtoMajor)
	}
	return ""
}

// port returns the port of the request's URL, or the default of its scheme.
func port(r *http.Request) uint16 {
	if n, err := strconv.ParseUint(r.URL.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	if r.URL.Scheme == "https" {
		return 443
	}
	return 80
}
