package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/stage"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/tapclient"
	"github.com/ksyun-tap/ksyun-tap/usererror"
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
	c.Flag("for", "Stop after this time. 0s runs until interrupted.").Default("0s").SetValue(config.NotNegative(&v.length))
	c.Flag("pace", "Time between calls.").Default("50ms").SetValue(config.Positive(&v.pace))
	c.Flag("phase", "Length of each phase.").Default("10s").SetValue(config.Positive(&v.phase))
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
	around, err := v.setStage(ctx)
	if err != nil {
		return err
	}
	defer around.Close()
	if v.settings.LogFile == "" && output.IsTerminal(std.err) {
		// The log would scroll the banner off the terminal. On a read-only file
		// system, as in a container, it stays on standard error.
		if f, err := os.CreateTemp("", "ksyun-tap-demo-*.log"); err == nil {
			v.settings.Fix("demo", "log.file", f.Name())
			_ = f.Close()
		}
	}
	reread := func() (*config.Settings, error) { s := v.settings; return &s, nil }
	t, err := newTap(ctx, &v.settings, reread, outputs{log: output.Direct(std.err), console: std.out, getenv: around.Getenv}, service{})
	if err != nil {
		return err
	}
	v.banner(std, t, around)
	progress := stage.NewProgress(std.out, t.metrics)

	phase := v.phase
	if v.allCodes {
		phase = 0
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.serve(ctx) })
	group.Go(func() error {
		around.Play(ctx, t.address(wayProxy), v.pace, phase, progress.Enter)
		return nil
	})
	group.Go(func() error { progress.Run(ctx); return nil })
	if err := group.Wait(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "done: %s\n", progress.Total())
	return err
}

// setStage starts the servers around the tap, and points the settings to them.
func (v *demoVerb) setStage(ctx context.Context) (*stage.Stage, error) {
	catalog, err := loadCatalog(v.settings.CatalogFiles)
	if err != nil {
		return nil, usageError{err}
	}
	s, err := stage.Open(ctx, catalog)
	if err != nil {
		return nil, err
	}
	v.settings.Fix("demo", "upstream.connect-to", s.ConnectTo...)
	v.settings.Fix("demo", "tap.host", config.DefaultTapHost)
	v.settings.Fix("demo", "traces.success-ratio", "1")
	return s, nil
}

func (v *demoVerb) banner(std stdio, t *tap, s *stage.Stage) {
	page := tapclient.LocalURL(t.page, "")
	proxy := t.address(wayProxy)
	logPlace := "standard error"
	if v.settings.LogFile != "" {
		logPlace = v.settings.LogFile
	}
	spans := "to the exporter that OTEL_* configures"
	if s.Spans != "" {
		spans = s.Spans + "?trace_id=..."
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

`, page, logPlace, spans, proxy, stage.Host)
	if v.length > 0 {
		fmt.Fprintf(std.out, "The demo stops after %v.\n", v.length)
	} else {
		fmt.Fprintln(std.out, "Stop it with Ctrl-C.")
	}
}
