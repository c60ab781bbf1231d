// Package stage runs what is around the tap in the demo: a simulated API, a program whose
// calls succeed and fail, and a receiver for spans.
package stage

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
)

const (
	// Host is the host of the simulated API.
	Host     = "monitor.api.ksyun.com"
	deadHost = "dead.api.ksyun.com"
	nowhere  = "127.0.0.1:1" // refuses connections

	maxSpans = 10_000 // that the receiver keeps
)

var (
	good    = cloudmonitor.Credential{AccessKey: "AKLTdemoGood00000000", SecretKey: "demo-secret"}
	denied  = cloudmonitor.Credential{AccessKey: "AKLTdemoDenied000000", SecretKey: "demo-secret", Denied: []string{"*"}}
	foreign = cloudmonitor.Credential{AccessKey: "AKLTdemoForeign00000", SecretKey: "demo-secret", Foreign: true}
)

// Stage is the servers around the tap.
type Stage struct {
	Spans     string   // URL of the received spans; "" if OTEL_* configures a backend
	ConnectTo []string // what the tap's upstream.connect-to must be

	// Getenv returns the variables that configure the tap's exporters.
	Getenv func(name string) string

	codes   []string // errors that the API returns on demand
	api     *cloudmonitor.Server
	servers []*http.Server
}

// Open starts the simulated API, which can return the errors of the catalogue, and,
// unless the environment configures an exporter for spans, a receiver for them.
func Open(ctx context.Context, catalog *classify.Catalog) (*Stage, error) {
	s := &Stage{Getenv: os.Getenv}
	errs := demandable(catalog)
	for _, e := range errs {
		s.codes = append(s.codes, e.Code)
	}
	s.api = cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{good, denied, foreign},
		Errors:      errs,
	})
	api, err := s.start(ctx, s.api)
	if err != nil {
		return nil, err
	}
	if !tracesConfigured() {
		receiver, err := s.start(ctx, otlprecv.New(maxSpans))
		if err != nil {
			return nil, err
		}
		s.Spans = "http://" + receiver + "/spans"
		own := map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + receiver,
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "500",
		}
		s.Getenv = func(name string) string { return cmp.Or(own[name], os.Getenv(name)) }
	}
	s.ConnectTo = []string{Host + ":80=" + api, deadHost + ":80=" + nowhere}
	return s, nil
}

// start serves h on a free loopback port until Close.
func (s *Stage) start(ctx context.Context, h http.Handler) (address string, err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, srv)
	go func() { _ = srv.Serve(ln) }() // returns when the stage is closed
	return ln.Addr().String(), nil
}

// Close stops the servers.
func (s *Stage) Close() {
	for _, srv := range s.servers {
		_ = srv.Close()
	}
}

// Play calls the API through the tap at proxy until ctx is done, with a pause of pace
// between calls: in phases of a length, of which onPhase is called with each; or, if that
// is 0, with all codes in turn.
func (s *Stage) Play(ctx context.Context, proxy string, pace, length time.Duration, onPhase func(cloudmonitor.Phase)) {
	traffic := &cloudmonitor.Traffic{
		Client: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}),
		}},
		Host: Host, DeadHost: deadHost,
		Good: good, Denied: denied, Foreign: foreign,
		Codes: s.codes,
	}
	defer traffic.Client.CloseIdleConnections()
	if length == 0 {
		traffic.Run(ctx, pace)
		return
	}
	story := &cloudmonitor.Story{Traffic: traffic, Server: s.api, Length: length, OnPhase: onPhase}
	story.Play(ctx, pace)
}

// demandable returns the errors of the catalogue that the simulator returns on
// demand: those whose code is known, not a placeholder.
func demandable(catalog *classify.Catalog) []cloudmonitor.Error {
	var errs []cloudmonitor.Error
	for _, e := range catalog.Entries() {
		if e.Grade == classify.GradePlaceholder || e.Refines || len(e.Statuses) == 0 || e.Statuses[0] < 400 {
			continue
		}
		message := cmp.Or(e.Example, e.Meaning.English)
		errs = append(errs, cloudmonitor.Error{Status: e.Statuses[0], Code: e.Code, Message: message})
	}
	return errs
}

// tracesConfigured reports whether the environment configures an exporter for
// spans.
func tracesConfigured() bool {
	return slices.ContainsFunc([]string{
		"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_CONFIG_FILE",
	}, func(name string) bool { return os.Getenv(name) != "" })
}
