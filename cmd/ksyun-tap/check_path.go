package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
	"github.com/ksyun-tap/ksyun-tap/internal/pathcheck"
	"github.com/ksyun-tap/ksyun-tap/internal/tapclient"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// checkPathTimeout is the default timeout of a path check.
const checkPathTimeout = 15 * time.Second

// checkPath sends one unsigned call through a running tap and reports at which
// stage of the path to the API it fails.
type checkPath struct {
	target  *url.URL
	proxy   *url.URL
	url     string
	caFile  string
	timeout time.Duration
}

func newCheckPath(app *kingpin.Application) *checkPath {
	v := &checkPath{}
	c := app.Command("check-path", "Send one unsigned call through the running tap, expect the API to require a signature, and report which stage of the path fails.")
	c.Flag("target", "URL of the API, with the scheme that programs use.").Default(config.DefaultCheckTarget).SetValue(config.Parsed(&v.target, lookup.ParseURL))
	c.Flag("proxy", "URL of the tap's proxy listener. Default: from KSYUN_TAP_PROXY_LISTEN_ADDRESS, otherwise http://"+config.DefaultProxyListen+".").PlaceHolder("URL").SetValue(config.Parsed(&v.proxy, lookup.ParseURL))
	urlFlag(c, &v.url)
	c.Flag("ca-file", "Certificates that programs trust, for an https target: bundle.pem of --intercept.ca-dir or .publish-dir.").PlaceHolder("FILE").StringVar(&v.caFile)
	c.Flag("timeout", "Timeout of the whole check.").Default(checkPathTimeout.String()).SetValue(config.Positive(&v.timeout))
	return v
}

func (v *checkPath) run(ctx context.Context, std stdio) error {
	roots, err := trust.Roots("ca-file", v.caFile)
	if err != nil {
		return usageError{err}
	}
	if v.proxy == nil {
		address := os.Getenv(config.EnvPrefix + "PROXY_LISTEN_ADDRESS")
		if v.proxy, err = url.Parse(tapclient.LocalURL(address, config.DefaultProxyListen)); err != nil {
			return usageError{usererror.At(config.EnvPrefix+"PROXY_LISTEN_ADDRESS", err)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	check := pathcheck.Check{
		Target: v.target, Proxy: v.proxy, Roots: roots, Observed: v.observed,
		Passed: func(s pathcheck.Stage) { fmt.Fprintf(std.out, "ok    %s\n", s) },
	}
	result, err := check.Run(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "the API requires a signature (%s, request ID %s), and the tap observed the call\n", result.Code, result.RequestID)
	return err
}

// observed waits until the call is in the tap's journal, which happens shortly
// after the response.
func (v *checkPath) observed(ctx context.Context, id string) error {
	base, err := lookup.ParseURL(tapclient.URL(v.url))
	if err != nil {
		return usageError{usererror.At("--url", err)}
	}
	tap, err := lookup.NewTap(base, lookup.Clients{})
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		response, err := tap.Find(ctx, &lookup.Query{ID: id})
		if err != nil || len(response.Found) > 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("request ID %s is not in the journal of %s: %w", id, tap.Name, ctx.Err())
		}
	}
}

// newPathTimer returns a timer that checks the path through this tap.
func (t *tap) newPathTimer(s *config.Settings) *pathcheck.Timer {
	return &pathcheck.Timer{
		Interval: s.CheckInterval, Timeout: checkPathTimeout,
		Changed: func(err error) {
			var failed *pathcheck.Error
			if !errors.As(err, &failed) {
				t.log.Info("path check succeeded", zap.String("target", s.CheckTarget.String()))
				return
			}
			t.log.Error("path check failed", zap.String("target", s.CheckTarget.String()), zap.String("stage", string(failed.Stage)),
				zap.Error(failed.Err), zap.String("advice", failed.Advice))
		},
	}
}

// checkPaths runs path checks until ctx is done, through the first proxy listener
// and with the certificates that programs must trust.
func (t *tap) checkPaths(ctx context.Context) {
	proxy, err := url.Parse(tapclient.LocalURL(t.address(wayProxy), ""))
	if err != nil {
		return // impossible for the address of a listener
	}
	if t.ca != nil {
		file := filepath.Join(t.settings.TrustDir(), "ca.pem")
		t.path.Roots = func() (*x509.CertPool, error) { return trust.Roots("intercept.ca-dir", file) }
	}
	t.path.Check = pathcheck.Check{Target: t.settings.CheckTarget, Proxy: proxy}
	t.path.Run(ctx)
}

// sinkFor keeps the calls of path checks out of the user's metrics, logs and
// spans.
func (t *tap) sinkFor(client netip.AddrPort) classify.Sink {
	if t.path.Owns(client) {
		return t.path
	}
	return nil
}
