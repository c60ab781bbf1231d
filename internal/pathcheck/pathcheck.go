// Package pathcheck sends one unsigned call through a running tap, expects the
// API to ask for a signature, and tells which part of the way fails, if one
// does.
package pathcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Stage is a part of the way. Its text is a label's value.
type Stage string

// The stages, in the order of the way.
const (
	StageProxy        Stage = "proxy"
	StageInterception Stage = "interception"
	StageTrust        Stage = "trust"
	StageDNS          Stage = "dns"
	StageUpstream     Stage = "upstream"
	StageUpstreamTLS  Stage = "upstream_tls"
	StageAnswer       Stage = "answer"
	StageObservation  Stage = "observation"
)

// Stages lists every stage.
func Stages() []Stage {
	return []Stage{
		StageProxy, StageInterception, StageTrust, StageDNS, StageUpstream, StageUpstreamTLS, StageAnswer, StageObservation,
	}
}

// names are the stages for people.
var names = map[Stage]string{
	StageProxy:        "the tap's proxy",
	StageInterception: "interception",
	StageTrust:        "trust in the tap's CA",
	StageDNS:          "finding the API's address",
	StageUpstream:     "the way from the tap to the API",
	StageUpstreamTLS:  "TLS between the tap and the API",
	StageAnswer:       "the API's answer",
	StageObservation:  "the tap's view of the call",
}

// String names the stage for people.
func (s Stage) String() string { return names[s] }

// mends tell what to do where a stage fails and nobody knows better.
var mends = map[Stage]string{
	StageProxy:        "Start ksyun-tap, or give its --proxy.listen-address with --proxy.",
	StageInterception: "Start the tap with --intercept and --intercept.ca-dir, or use an http target.",
	StageTrust:        "Give bundle.pem of the tap's --intercept.ca-dir or .publish-dir with --ca-file; programs need it as SSL_CERT_FILE, REQUESTS_CA_BUNDLE or AWS_CA_BUNDLE.",
	StageUpstream:     "The tap was reached, and the API gave no answer: see the tap's log and ksyun_tap_proxy_errors_total.",
	StageAnswer:       "See whether another proxy or gateway answers in the API's place, and what --upstream.connect-to says.",
	StageObservation:  "Give the tap's --web.listen-address with --url; if it is right, something but the tap let the call pass.",
}

// Error tells which stage failed, why, and what to do.
type Error struct {
	Stage Stage
	Err   error
	Mend  string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s fails: %s. %s", e.Stage, strings.TrimSuffix(e.Err.Error(), "."), e.Mend)
}

func (e *Error) Unwrap() error { return e.Err }

func fail(s Stage, err error) *Error { return &Error{s, err, mends[s]} }

// Check is one call through a tap.
type Check struct {
	Target *url.URL       // the API: http or https, and a host
	Proxy  *url.URL       // the tap's
	Roots  *x509.CertPool // what programs trust; nil is the system's
	// Connected is told the near end of the connection to the tap before the
	// call is sent; nil is nobody.
	Connected func(near net.Addr)
	// Observed returns nil once the tap is seen to have taken note of the call
	// with that request ID.
	Observed func(ctx context.Context, requestID string) error
	// Passed is told of each stage that is in order; nil is nobody.
	Passed func(Stage)
}

// Result is what the API said.
type Result struct {
	Code, RequestID string
}

// Run sends the call. The error is an *Error.
func (c *Check) Run(ctx context.Context) (Result, error) {
	res, body, err := c.call(ctx) //nolint:bodyclose // call has read and closed it
	if err != nil {
		return Result{}, c.explain(err)
	}
	c.passed(StageProxy)
	if fault := res.Header.Get("X-Ksyun-Tap-Error"); fault != "" {
		return Result{}, tapError(classify.Fault(fault), body)
	}
	if c.Target.Scheme == "https" {
		c.passed(StageTrust)
	}
	c.passed(StageUpstream)
	v := classify.New(classify.DefaultCatalog()).Response(nil, &classify.Response{Status: res.StatusCode, Header: header(res.Header), Body: body})
	if v.Category != classify.CategoryAuth {
		return Result{}, fail(StageAnswer, fmt.Errorf("an unsigned call is to be refused for its missing signature, and was answered with status %d, %s %s", res.StatusCode, v.Outcome, v.Code))
	}
	c.passed(StageAnswer)
	id := v.RequestID.String()
	if id == "" {
		return Result{}, fail(StageObservation, errors.New("the answer has no request ID to look for"))
	}
	if err := c.Observed(ctx, id); err != nil {
		return Result{}, fail(StageObservation, err)
	}
	c.passed(StageObservation)
	return Result{Code: v.Code, RequestID: id}, nil
}

func (c *Check) passed(s Stage) {
	if c.Passed != nil {
		c.Passed(s)
	}
}

// maxBody is how much of an answer is read.
const maxBody = 64 << 10

// call sends the unsigned call by way of the proxy.
func (c *Check) call(ctx context.Context) (*http.Response, []byte, error) {
	u := *c.Target
	u.Path, u.RawQuery = "/", "Action=ListMetrics&Version=2010-05-25"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ksyun-tap-check-path")
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:           http.ProxyURL(c.Proxy),
			DialContext:     c.dial,
			TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	return res, body, err
}

// errDial is that the tap could not be reached at all.
var errDial = errors.New("no connection")

func (c *Check) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDial, err)
	}
	if c.Connected != nil {
		c.Connected(nc.LocalAddr())
	}
	return nc, nil
}

// explain tells which stage an error of the client's is about.
func (c *Check) explain(err error) *Error {
	var verify *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errDial):
		return fail(StageProxy, err)
	case errors.As(err, &verify):
		return fail(StageTrust, verify.Err)
	case c.Target.Scheme == "https" && isRefusedConnect(err):
		return fail(StageInterception, err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fail(StageUpstream, err)
	}
	return fail(StageProxy, err)
}

// isRefusedConnect reports whether the proxy did not open a tunnel. net/http
// tells by the status text alone.
func isRefusedConnect(err error) bool {
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotImplemented} {
		var e *url.Error
		if errors.As(err, &e) && e.Err.Error() == http.StatusText(status) {
			return true
		}
	}
	return false
}

// tapError is the tap's own answer, whose message says what to do.
func tapError(fault classify.Fault, body []byte) *Error {
	stage := StageUpstream
	switch fault {
	case classify.FaultDNS:
		stage = StageDNS
	case classify.FaultTLS:
		stage = StageUpstreamTLS
	}
	catalog := classify.DefaultCatalog()
	e := fail(stage, nil)
	if row, ok := catalog.Lookup(string(fault)); ok {
		e.Mend = row.Advice
	}
	v := classify.New(catalog).Response(nil, &classify.Response{Status: http.StatusBadRequest, Body: body})
	e.Err = fmt.Errorf("%s: %s", fault, v.Message)
	return e
}

// header is what classify reads of an answer's fields.
type header http.Header

// Get returns the first value of a field.
func (h header) Get(name string) []byte { return []byte(http.Header(h).Get(name)) }

// Fields yields every field.
func (h header) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for name, values := range h {
			for _, value := range values {
				if !yield([]byte(name), []byte(value)) {
					return
				}
			}
		}
	}
}
