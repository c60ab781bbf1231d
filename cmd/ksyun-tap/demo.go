package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

const (
	// demoSpans is the number of spans that the demo's receiver keeps.
	demoSpans = 10_000
	demoHost  = "monitor.api.ksyun.com"
	deadHost  = "dead.api.ksyun.com"
)

// demoVerb runs the tap together with everything that it needs: a simulated API,
// a program whose calls succeed and fail, and a receiver for the spans.
type demoVerb struct {
	settings config.Settings
	length   time.Duration
	pace     time.Duration
	phase    time.Duration
	allCodes bool
}

func newDemo(app *kingpin.Application, file config.File) *demoVerb {
	v := &demoVerb{}
	c := app.Command("demo", "Run the tap between a simulated API and a program whose calls fail for one reason after another.")
	c.Flag("for", "Stop after this time. 0s runs until interrupted.").Default("0s").DurationVar(&v.length)
	c.Flag("pace", "Time between calls.").Default("50ms").DurationVar(&v.pace)
	c.Flag("phase", "Length of each phase.").Default("10s").DurationVar(&v.phase)
	c.Flag("all-codes", "In place of phases, let every third call fail, with all known codes in turn.").BoolVar(&v.allCodes)
	v.settings.Register(c, file, "upstream.connect-to", "upstream.scheme", "upstream.ca-file", "tap.host", "tap.other-hosts", "traces.success-ratio")
	return v
}

func (v *demoVerb) run(ctx context.Context, std stdio) (err error) {
	if v.pace <= 0 {
		return usageError{usererror.New("--pace must be more than 0s", "write a duration such as 50ms")}
	}
	if v.phase <= 0 {
		return usageError{usererror.New("--phase must be more than 0s", "write a duration such as 10s")}
	}
	if v.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, v.length)
		defer cancel()
	}
	stage, err := v.setStage(ctx)
	if err != nil {
		return err
	}
	defer stage.close()
	if v.settings.LogFile == "" && output.IsTerminal(std.err) {
		// The log would scroll the banner off the terminal. On a read-only file
		// system, as in a container, it stays on standard error.
		if f, err := os.CreateTemp("", "ksyun-tap-demo-*.log"); err == nil {
			v.settings.Fix("demo", "log.file", f.Name())
			_ = f.Close()
		}
	}
	reread := func() (*config.Settings, error) { s := v.settings; return &s, nil }
	t, err := newTap(ctx, &v.settings, reread, outputs{log: output.Direct(std.err), console: std.out}, service{})
	if err != nil {
		return err
	}
	v.banner(std, t, stage)
	progress := newDemoProgress(std.out, t)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.serve(ctx) })
	group.Go(func() error {
		traffic := stage.traffic(t.address(wayProxy))
		defer traffic.Client.CloseIdleConnections()
		if v.allCodes {
			traffic.Run(ctx, v.pace)
			return nil
		}
		story := &cloudmonitor.Story{Traffic: traffic, Server: stage.api, Length: v.phase, OnPhase: progress.enter}
		story.Play(ctx, v.pace)
		return nil
	})
	group.Go(func() error { progress.run(ctx); return nil })
	if err := group.Wait(); err != nil {
		return err
	}
	return v.summary(std, t)
}

// stage holds the servers around the tap in the demo.
type stage struct {
	spans   string   // URL of the received spans; "" if OTEL_* configures a backend
	codes   []string // errors that the API returns on demand
	api     *cloudmonitor.Server
	servers []*http.Server
}

// setStage starts the simulated API and, unless the environment configures an
// exporter for spans, a receiver for them.
func (v *demoVerb) setStage(ctx context.Context) (*stage, error) {
	catalog, err := loadCatalog(v.settings.CatalogFiles)
	if err != nil {
		return nil, usageError{err}
	}
	s := &stage{}
	errs := demandable(catalog)
	for _, e := range errs {
		s.codes = append(s.codes, e.Code)
	}
	s.api = cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{demoGood, demoDenied, demoForeign},
		Errors:      errs,
	})
	api, err := s.start(ctx, s.api)
	if err != nil {
		return nil, err
	}
	if !tracesConfigured() {
		receiver, err := s.start(ctx, otlprecv.New(demoSpans))
		if err != nil {
			return nil, err
		}
		s.spans = "http://" + receiver + "/spans"
		// The exporter is configured by the environment of this process.
		for k, v := range map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + receiver,
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "500",
		} {
			if err := os.Setenv(k, v); err != nil {
				return nil, err
			}
		}
	}
	dead, err := unusedAddress(ctx)
	if err != nil {
		return nil, err
	}
	v.settings.Fix("demo", "upstream.connect-to", demoHost+":80="+api, deadHost+":80="+dead)
	v.settings.Fix("demo", "tap.host", config.DefaultTapHost)
	v.settings.Fix("demo", "traces.success-ratio", "1")
	return s, nil
}

// start serves h on a free loopback port until close.
func (s *stage) start(ctx context.Context, h http.Handler) (address string, err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, srv)
	go func() { _ = srv.Serve(ln) }() // returns when the stage is closed
	return ln.Addr().String(), nil
}

func (s *stage) close() {
	for _, srv := range s.servers {
		_ = srv.Close()
	}
}

var (
	demoGood    = cloudmonitor.Credential{AccessKey: "AKLTdemoGood00000000", SecretKey: "demo-secret"}
	demoDenied  = cloudmonitor.Credential{AccessKey: "AKLTdemoDenied000000", SecretKey: "demo-secret", Denied: []string{"*"}}
	demoForeign = cloudmonitor.Credential{AccessKey: "AKLTdemoForeign00000", SecretKey: "demo-secret", Foreign: true}
)

// traffic returns the program that calls the API through the tap.
func (s *stage) traffic(proxy string) *cloudmonitor.Traffic {
	return &cloudmonitor.Traffic{
		Client: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}),
		}},
		Host: demoHost, DeadHost: deadHost,
		Good: demoGood, Denied: demoDenied, Foreign: demoForeign,
		Codes: s.codes,
	}
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

func unusedAddress(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// tracesConfigured reports whether the environment configures an exporter for
// spans.
func tracesConfigured() bool {
	return slices.ContainsFunc([]string{
		"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED",
	}, func(name string) bool { return os.Getenv(name) != "" })
}

func (v *demoVerb) banner(std stdio, t *tap, s *stage) {
	page := localURL(t.page, "")
	proxy := t.address(wayProxy)
	logPlace := "standard error"
	if v.settings.LogFile != "" {
		logPlace = v.settings.LogFile
	}
	spans := "to the exporter that OTEL_* configures"
	if s.spans != "" {
		spans = s.spans + "?trace_id=..."
	}
	fmt.Fprintf(std.out, `ksyun-tap demo: a program calls a simulated API through the tap. Its calls fail for one reason after another.

  recent failures   %[1]s/
  as JSON           curl -s '%[1]s/api/v1/failures?limit=3'
  as they happen    ksyun-tap failures --follow --url=%[1]s
  one by ID         ksyun-tap lookup REQUEST_ID --url=%[1]s
  metrics           curl -s %[1]s/metrics | grep ksyun_api_errors_total
  log               %[2]s
  spans             %[3]s
  your own call     curl -x http://%[4]s 'http://%[5]s/?Action=ListMetrics&Version=2010-05-25'

`, page, logPlace, spans, proxy, demoHost)
	if v.length > 0 {
		fmt.Fprintf(std.out, "The demo stops after %v.\n", v.length)
	} else {
		fmt.Fprintln(std.out, "Stop it with Ctrl-C.")
	}
}

func (v *demoVerb) summary(std stdio, t *tap) error {
	calls, failed, codes, categories := counts(t)
	_, err := fmt.Fprintf(std.out, "done: %s, %d failed with %s; categories: %s\n", output.Plural(calls, "call"), failed, output.Plural(codes, "code"), output.OrDash(strings.Join(categories, ", ")))
	return err
}

// counts returns the number of calls, of those that failed, and of their different
// codes, and the sorted categories.
func counts(t *tap) (calls, failed, codes int, categories []string) {
	calls, failures := t.metrics.Counted()
	seen := map[string]bool{}
	for _, f := range failures {
		failed += f.Count
		seen[f.Code] = true
		categories = append(categories, string(f.Category))
	}
	slices.Sort(categories)
	return calls, failed, len(seen), slices.Compact(categories)
}
