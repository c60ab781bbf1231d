package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/pathcheck"
)

// checkPathTimeout is how long a check may take.
const checkPathTimeout = 15 * time.Second

// checkPath sends one unsigned call through a running tap and tells which part
// of the way to the API fails, if one does.
type checkPath struct {
	target  *url.URL
	proxy   *url.URL
	url     string
	caFile  string
	timeout time.Duration
}

func newCheckPath(app *kingpin.Application) *checkPath {
	v := &checkPath{}
	c := app.Command("check-path", "Send one unsigned call through the running tap, expect the API to ask for a signature, and tell which part of the way fails.")
	c.Flag("target", "The API, with the scheme that programs use.").Default(config.DefaultCheckTarget).URLVar(&v.target)
	c.Flag("proxy", "The tap's proxy listener. Default: by KSYUN_TAP_PROXY_LISTEN_ADDRESS, else http://"+config.DefaultProxyListen+".").PlaceHolder("URL").URLVar(&v.proxy)
	urlFlag(c, &v.url)
	c.Flag("ca-file", "What programs trust, for an https target: bundle.pem of --intercept.ca-dir or .publish-dir.").PlaceHolder("FILE").StringVar(&v.caFile)
	c.Flag("timeout", "How long all of it may take.").Default(checkPathTimeout.String()).DurationVar(&v.timeout)
	return v
}

func (v *checkPath) run(ctx context.Context, std stdio) error {
	if v.target.Scheme != "http" && v.target.Scheme != "https" || v.target.Host == "" {
		return usageError{fmt.Errorf("--target=%s is no URL of the API: write http://HOST or https://HOST", v.target)}
	}
	roots, err := loadRoots("ca-file", v.caFile)
	if err != nil {
		return usageError{err}
	}
	if v.proxy == nil {
		address := os.Getenv(config.EnvPrefix + "PROXY_LISTEN_ADDRESS")
		if v.proxy, err = url.Parse(localURL(address, config.DefaultProxyListen)); err != nil {
			return usageError{fmt.Errorf("%sPROXY_LISTEN_ADDRESS: %w", config.EnvPrefix, err)}
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
	_, err = fmt.Fprintf(std.out, "the API asks for a signature (%s, request ID %s), and the tap saw it\n", result.Code, result.RequestID)
	return err
}

// observed asks the tap whether the call is in its journal, which is filled
// shortly after the answer.
func (v *checkPath) observed(ctx context.Context, id string) error {
	tap := tapURL(v.url)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _, err := askTap(ctx, tap, errorPath(id))
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("request ID %s is not in the journal of %s: %w", id, tap, ctx.Err())
		}
	}
}

// newPathTimer returns what checks the path of this tap on a timer.
func (t *tap) newPathTimer(s *config.Settings) *pathcheck.Timer {
	return &pathcheck.Timer{
		Interval: s.CheckInterval, Timeout: checkPathTimeout,
		Changed: func(err error) {
			var failed *pathcheck.Error
			if !errors.As(err, &failed) {
				t.log.Info("the path to the API is in order", zap.String("target", s.CheckTarget.String()))
				return
			}
			t.log.Error("the path to the API fails", zap.String("target", s.CheckTarget.String()), zap.String("stage", string(failed.Stage)),
				zap.Error(failed.Err), zap.String("advice", failed.Mend))
		},
	}
}

// checkPaths checks until ctx is done, by way of the first proxy listener and
// with the trust that programs are to have.
func (t *tap) checkPaths(ctx context.Context) {
	proxy, err := url.Parse(localURL(t.proxyListeners[0].Addr().String(), ""))
	if err != nil {
		return // not for an address that is being listened on
	}
	if t.ca != nil {
		file := filepath.Join(t.settings.TrustDir(), "ca.pem")
		t.path.Roots = func() (*x509.CertPool, error) { return loadRoots("intercept.ca-dir", file) }
	}
	t.path.Check = pathcheck.Check{Target: t.settings.CheckTarget, Proxy: proxy}
	t.path.Run(ctx)
}

// sinkFor keeps the checks' own calls from the user's metrics, logs and spans.
func (t *tap) sinkFor(client netip.AddrPort) collector.Sink {
	if t.path.Owns(client) {
		return t.path
	}
	return nil
}

// pathStats tells the metrics how the last check ended.
func (t *tap) pathStats() metrics.PathStats {
	s := t.path.Status()
	return metrics.PathStats{
		Done: s.Done, Failed: string(s.Failed), LastSuccess: s.LastSuccess, Duration: s.Duration,
	}
}
