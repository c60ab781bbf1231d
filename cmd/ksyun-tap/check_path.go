package main

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
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// checkPath sends one unsigned call through a running tap and tells which part
// of the way to the API fails, if one does.
type checkPath struct {
	target  *url.URL
	proxy   *url.URL
	admin   string
	caFile  string
	timeout time.Duration
}

func newCheckPath(app *kingpin.Application) *checkPath {
	v := &checkPath{}
	c := app.Command("check-path", "Send one unsigned call through the running tap, expect the API to ask for a signature, and tell which part of the way fails.")
	c.Flag("target", "The API, with the scheme that programs use.").Default("http://monitor.api.ksyun.com").URLVar(&v.target)
	c.Flag("proxy", "The tap's proxy listener.").Default("http://" + config.DefaultProxyListen).URLVar(&v.proxy)
	c.Flag("url", "The tap's admin listener, which is asked whether it saw the call.").Default("http://" + config.DefaultWebListen).StringVar(&v.admin)
	c.Flag("ca-file", "What programs trust, for an https target: bundle.pem of --intercept.ca-dir.").PlaceHolder("FILE").StringVar(&v.caFile)
	c.Flag("timeout", "How long all of it may take.").Default("15s").DurationVar(&v.timeout)
	return v
}

// step is one part of the way, and what to do where it fails.
type step struct {
	name string
	mend string
}

var (
	stepProxy    = step{"the tap's proxy", "Start ksyun-tap, or give its --proxy.listen-address with --proxy."}
	stepTrust    = step{"trust in the tap's CA", "Give bundle.pem of the tap's --intercept.ca-dir with --ca-file; programs need it as SSL_CERT_FILE, REQUESTS_CA_BUNDLE or AWS_CA_BUNDLE."}
	stepTunnel   = step{"interception", "Start the tap with --intercept and --intercept.ca-dir, or use an http target."}
	stepWay      = step{"the way from the tap to the API", ""} // the tap tells
	stepAnswer   = step{"the API's answer", "See whether another proxy or gateway answers in the API's place, and what --upstream.connect-to says."}
	stepObserved = step{"the tap's view of the call", "Give the tap's --web.listen-address with --url; if it is right, something but the tap let the call pass."}
)

// stepError is the error of a step.
type stepError struct {
	step
	err error
}

func (e stepError) Error() string {
	return fmt.Sprintf("%s fails: %v. %s", e.name, e.err, e.mend)
}

func (e stepError) Unwrap() error { return e.err }

func (v *checkPath) run(ctx context.Context, std stdio) error {
	if v.target.Scheme != "http" && v.target.Scheme != "https" || v.target.Host == "" {
		return usageError{fmt.Errorf("--target=%s is no URL of the API: write http://HOST or https://HOST", v.target)}
	}
	roots, err := loadRoots("ca-file", v.caFile)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	told := func(s step) { fmt.Fprintf(std.out, "ok    %s\n", s.name) }

	conn, err := new(net.Dialer).DialContext(ctx, "tcp", v.proxy.Host)
	if err != nil {
		return stepError{stepProxy, err}
	}
	_ = conn.Close()
	told(stepProxy)

	res, body, err := v.call(ctx, roots) //nolint:bodyclose // call has read and closed it
	if err != nil {
		return v.explain(err)
	}
	if fault := res.Header.Get("X-Ksyun-Tap-Error"); fault != "" {
		return v.tapError(fault, body)
	}
	if v.target.Scheme == "https" {
		told(stepTrust)
	}
	told(stepWay)
	verdict := classify.New(classify.DefaultCatalog()).Response(nil, &classify.Response{Status: res.StatusCode, Header: header(res.Header), Body: body})
	if verdict.Category != classify.CategoryAuth {
		return stepError{stepAnswer, fmt.Errorf("an unsigned call is to be refused for its missing signature, and was answered with status %d, %s %s", res.StatusCode, verdict.Outcome, verdict.Code)}
	}
	told(stepAnswer)
	if err := v.observed(ctx, verdict.RequestID.String()); err != nil {
		return stepError{stepObserved, err}
	}
	told(stepObserved)
	_, err = fmt.Fprintf(std.out, "the API asks for a signature (%s, request ID %s), and the tap saw it\n", verdict.Code, verdict.RequestID)
	return err
}

// call sends the unsigned call by way of the proxy.
func (v *checkPath) call(ctx context.Context, roots *x509.CertPool) (*http.Response, []byte, error) {
	u := *v.target
	u.Path, u.RawQuery = "/", "Action=ListMetrics&Version=2010-05-25"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ksyun-tap-check-path")
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyURL(v.proxy), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBodyChecked))
	return res, body, err
}

// maxBodyChecked is how much of an answer is read.
const maxBodyChecked = 64 << 10

// explain tells which step an error of the client's is about.
func (v *checkPath) explain(err error) error {
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &verify):
		return stepError{stepTrust, verify.Err}
	case v.target.Scheme == "https" && isRefusedConnect(err):
		return stepError{stepTunnel, err}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		s := stepWay
		s.mend = "The tap was reached, and the API gave no answer: see the tap's log and ksyun_tap_proxy_errors_total."
		return stepError{s, err}
	}
	return stepError{stepProxy, err}
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
func (v *checkPath) tapError(fault string, body []byte) error {
	s := stepWay
	catalog := classify.DefaultCatalog()
	if e, ok := catalog.Lookup(fault); ok {
		s.mend = e.Advice
	}
	verdict := classify.New(catalog).Response(nil, &classify.Response{Status: http.StatusBadRequest, Body: body})
	return stepError{s, fmt.Errorf("%s: %s", fault, verdict.Message)}
}

// observed asks the tap whether the call is in its journal, which is filled
// shortly after the answer.
func (v *checkPath) observed(ctx context.Context, id string) error {
	if id == "" {
		return errors.New("the answer has no request ID to look for")
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _, err := askAdmin(ctx, v.admin, errorPath(id))
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("request ID %s is not in the journal of %s: %w", id, v.admin, ctx.Err())
		}
	}
}
