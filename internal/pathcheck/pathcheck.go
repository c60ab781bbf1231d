// Package pathcheck checks the path to the API: it sends one unsigned call through
// a running tap, expects the API to require a signature, and reports at which
// stage the path fails.
package pathcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Stage is a part of the path. Its text is the value of a metric's label.
type Stage string

// The stages, in the order of the path.
const (
	StageProxy        Stage = "proxy"
	StageInterception Stage = "interception"
	StageTrust        Stage = "trust"
	StageDNS          Stage = "dns"
	StageUpstream     Stage = "upstream"
	StageUpstreamTLS  Stage = "upstream_tls"
	StageResponse     Stage = "response"
	StageObservation  Stage = "observation"
)

// Stages returns all stages.
func Stages() []Stage {
	return []Stage{
		StageProxy, StageInterception, StageTrust, StageDNS, StageUpstream, StageUpstreamTLS, StageResponse, StageObservation,
	}
}

// names are the descriptions of the stages in messages.
var names = map[Stage]string{
	StageProxy:        "the tap's proxy",
	StageInterception: "interception",
	StageTrust:        "trust in the tap's CA",
	StageDNS:          "resolving the API's host",
	StageUpstream:     "the path from the tap to the API",
	StageUpstreamTLS:  "TLS between the tap and the API",
	StageResponse:     "the API's response",
	StageObservation:  "observation of the call",
}

// String returns the description of the stage.
func (s Stage) String() string { return names[s] }

// advice says what to do if a stage fails and the error itself does not.
var advice = map[Stage]string{
	StageProxy:        "Start ksyun-tap, or set its --proxy.listen-address with --proxy.",
	StageInterception: "Start the tap with --intercept and --intercept.ca-dir, or use an http target.",
	StageTrust:        "Set bundle.pem of the tap's --intercept.ca-dir or .publish-dir with --ca-file. Programs need it in SSL_CERT_FILE, REQUESTS_CA_BUNDLE or AWS_CA_BUNDLE.",
	StageUpstream:     "The tap was reached, but the API did not respond: see the tap's log and ksyun_tap_proxy_errors_total.",
	StageResponse:     "Check whether another proxy or gateway responds in place of the API, and the value of --upstream.connect-to.",
	StageObservation:  "Set the tap's --web.listen-address with --url. If it is right, the call did not pass through this tap.",
}

// Error reports the stage that failed, the cause, and what to do.
type Error struct {
	Stage  Stage
	Err    error
	Advice string
}

func (e *Error) Error() string { return e.Unwrap().Error() }

// Unwrap returns e in the form of all errors that the user can fix.
func (e *Error) Unwrap() error {
	return &usererror.Error{Where: "failed at " + e.Stage.String(), What: strings.TrimSuffix(e.Err.Error(), "."), Hint: e.Advice, Err: e.Err}
}

func fail(s Stage, err error) *Error { return &Error{s, err, advice[s]} }

// Check is one call through a tap.
type Check struct {
	Target *url.URL       // the API: http or https, and a host
	Proxy  *url.URL       // the tap's proxy listener
	Roots  *x509.CertPool // what programs trust; nil for the system's roots
	// Connected, if not nil, is called with the local address of the connection
	// to the tap before the call is sent.
	Connected func(local net.Addr)
	// Observed returns nil once the tap has observed the call with the given
	// request ID.
	Observed func(ctx context.Context, requestID string) error
	// Passed, if not nil, is called for each stage that succeeded.
	Passed func(Stage)
}

// Result is the API's response.
type Result struct {
	Code, RequestID string
}

// Run sends the call. Its error is always an *Error.
func (c *Check) Run(ctx context.Context) (Result, error) {
	res, body, err := c.call(ctx) //nolint:bodyclose // call reads and closes it
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
	v := classify.New(classify.DefaultCatalog()).Response(nil, &classify.Response{Status: res.StatusCode, Header: classify.HeaderMap(res.Header), Body: body})
	if v.Category != classify.CategoryAuth {
		return Result{}, fail(StageResponse, fmt.Errorf("an unsigned call must be refused for its missing signature, but the response has status %d, %s %s", res.StatusCode, v.Outcome, v.Code))
	}
	c.passed(StageResponse)
	id := v.RequestID.String()
	if id == "" {
		return Result{}, fail(StageObservation, errors.New("the response has no request ID"))
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

// maxBody is the maximum size of a response that is read, in bytes.
const maxBody = 64 << 10

// call sends the unsigned call through the proxy.
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

// errDial means that no connection to the tap could be made.
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

// explain returns the stage at which an error of the client occurred.
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

// isRefusedConnect reports whether the proxy refused to open a tunnel. The error
// of net/http contains only the status text.
func isRefusedConnect(err error) bool {
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotImplemented} {
		var e *url.Error
		if errors.As(err, &e) && e.Err.Error() == http.StatusText(status) {
			return true
		}
	}
	return false
}

// tapError converts an error response of the tap, whose message says what to do.
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
		e.Advice = row.Advice.English
	}
	v := classify.New(catalog).Response(nil, &classify.Response{Status: http.StatusBadRequest, Body: body})
	e.Err = fmt.Errorf("%s: %s", fault, v.Message)
	return e
}
