package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/version"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/collector/csm"
	"github.com/ksyun-tap/ksyun-tap/exporter"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/evidence"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal/disk"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/push"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/connlog"
	"github.com/ksyun-tap/ksyun-tap/internal/limits"
	"github.com/ksyun-tap/ksyun-tap/internal/memory"
	"github.com/ksyun-tap/ksyun-tap/internal/pathcheck"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/summary"
	"github.com/ksyun-tap/ksyun-tap/internal/systemd"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// flushTimeout is the timeout for flushing logs and spans at the end. Together
// with half a second for running calls it stays below 2s, which is what Kubernetes
// leaves a sidecar between SIGTERM and SIGKILL once the pod's time is up.
const flushTimeout = 1400 * time.Millisecond

// tap is the running program: all parts, connected.
type tap struct {
	settings   *config.Settings // from the start; a reload applies new values where they are used
	classifier atomic.Pointer[classify.Classifier]
	// reread reads the settings again, for a reload.
	reread func() (*config.Settings, error)

	log      *logs.Logger
	metrics  *metrics.Metrics
	push     *push.Pusher // of log lines and metrics; idle unless enabled
	traces   *traces.Tracer
	pipeline *exporter.Pipeline
	proxy    *collector.Proxy
	web      *web.Server // metrics and health
	admin    *web.Server // everything
	page     string      // address of the page of failures
	reloaded atomic.Pointer[reloaded]
	journal  *journal.Journal
	evidence *evidence.Store // nil unless enabled
	groups   *groups.Table
	activity *activity.Activity
	feed     *feed.Feed
	ca       *ca.CA              // nil without interception
	csm      *csm.Intake         // nil unless enabled
	resign   *resigning          // nil unless enabled
	path     *pathcheck.Timer    // nil unless enabled
	problems []usererror.Ignored // environment variables that are ignored
	missed   summary.Hosts       // with --tap.other-hosts=pass
	ready    atomic.Bool
	pages    http.Handler // of the admin server
	service  service
	watched  []*systemd.Listener // all TCP listeners, if a service manager watches

	listeners   map[string]listeners // by the names of ways
	csmListener net.PacketConn
}

// outputs are the default outputs of a tap, and what its spans belong to.
type outputs struct {
	log     io.Writer                // the log, unless a file is set
	console io.Writer                // spans, if OTEL_TRACES_EXPORTER is console; may be nil
	getenv  func(name string) string // the variables of OpenTelemetry; os.Getenv if nil

	parent traces.Parent // of calls without a traceparent of their own
}

// newTap builds a tap and opens its listeners, so that all errors in the settings
// are reported before anything is served.
func newTap(ctx context.Context, s *config.Settings, reread func() (*config.Settings, error), to outputs, by service) (_ *tap, err error) {
	t := &tap{settings: s, reread: reread, service: by}
	defer func() {
		if err != nil {
			t.abandon()
		}
	}()
	out := proxyenv.Read(os.Getenv, listenAddresses(s))
	policy, classifier, err := resolve(s, out)
	if err != nil {
		return nil, usageError{err}
	}

	t.metrics = metrics.New()
	t.log, err = logs.New(logs.Config{
		Level: s.LogLevel, Format: s.LogFormat, File: s.LogFile, Writer: to.log,
		Dropped: t.metrics.DropCounter(metrics.SinkLogs),
	})
	if err != nil {
		return nil, usageError{usererror.At("--log.file", err)}
	}
	if to.getenv == nil {
		to.getenv = os.Getenv
	}
	telemetry := otlp.ReadEnvironment(to.getenv)
	t.push = push.New(ctx, push.Config{
		Version: version.Version, Environment: telemetry, Gatherer: t.metrics.Gatherer(),
		Proxy: out.ForRequest, Dropped: t.metrics.PushDropped, Log: t.log.Named("push"),
	})
	if core := t.push.Core(); core != nil {
		t.log.Tee(core)
	}
	t.traces = traces.New(ctx, traces.Config{
		Version: version.Version, Environment: telemetry, SuccessRatio: s.TracesSuccessRatio,
		Parent:  to.parent,
		Console: to.console, Proxy: out.ForRequest,
		Dropped: t.metrics.DropCounter(metrics.SinkTraces), Log: t.log.Named("traces"),
	})
	t.reportEnvironment(slices.Concat(by.problems, environmentProblems(), out.Problems, t.traces.Problems()))
	t.journal, t.groups, t.activity, t.feed = journal.New(s.JournalSize), groups.New(0), new(activity.Activity), new(feed.Feed)
	if s.Evidence {
		t.evidence = evidence.New(evidence.Config{
			Entries: s.JournalSize, Bytes: s.EvidenceMaxBytes, Age: s.EvidenceMaxAge,
			BodyBytes: s.EvidenceBodyBytes, Headers: s.EvidenceHeaders, Fields: s.EvidenceFields,
		})
	}
	store, restored, err := t.openJournal(s)
	if err != nil {
		return nil, usageError{err}
	}
	t.pipeline = exporter.New(exporter.Options{
		Metrics: t.metrics,
		Traces:  t.traces,
		Logs: logs.NewEvents(t.log.Logger, logs.EventsConfig{
			Access: s.LogAccess, Dropped: t.metrics.DropCounter(metrics.SinkLogs),
		}),
		Limits:  diagnosis.Override(s.QuotaLimits),
		Journal: t.journal, Groups: t.groups, Activity: t.activity, Feed: t.feed,
		Disk: store, Restored: restored, Evidence: t.evidence,
		Flush: t.push.Shutdown,
	})
	if err := t.collect(ctx, s, policy, classifier); err != nil {
		return nil, err
	}
	if err := t.listen(ctx, s); err != nil {
		return nil, err
	}
	t.reloaded.Store(&reloaded{settings: s, ok: true, at: time.Now()})
	if err := t.webServers(s); err != nil {
		return nil, err
	}
	now := time.Now()
	t.metrics.SetReload(nil, now)
	t.pipeline.Diagnoser().Note(diagnosis.TriggerStart, now)
	return t, nil
}

// openJournal opens the journal's file, if there is one, and returns its failures.
func (t *tap) openJournal(s *config.Settings) (*disk.Store, []*record.Record, error) {
	if s.JournalPath == "" {
		return nil, nil, nil
	}
	store, restored, err := disk.Open(disk.Config{
		Path: s.JournalPath, MaxEntries: s.JournalSize, MaxBytes: s.JournalMaxBytes, MaxAge: s.JournalMaxAge,
		Log: t.log.Named("journal"),
	})
	if err == nil && len(restored) > 0 {
		t.log.Info("failures of earlier runs were read from the journal's file", zap.Int("failures", len(restored)))
	}
	return store, restored, err
}

// collect creates the collectors, which send observations to the pipeline.
func (t *tap) collect(ctx context.Context, s *config.Settings, policy collector.Policy, classifier *classify.Classifier) (err error) {
	cfg := collector.Config{
		Classifier: classifier, Sink: t.pipeline, Policy: policy,
		Timeouts: s.ProxyTimeouts, InspectBytes: s.InspectBytes,
	}
	t.classifier.Store(classifier)
	names, err := s.CredentialNames()
	if err != nil {
		return usageError{err}
	}
	cfg.CredentialKey, cfg.CredentialAliases = names.Key, names.Aliases
	if s.CheckInterval > 0 {
		t.path = t.newPathTimer(s)
		cfg.SinkFor = t.sinkFor
	}
	if len(s.Transparent) > 0 {
		cfg.OnTransparentError = connlog.Refusals(t.log.Logger)
	}
	if s.OtherHosts == collector.OtherPass {
		cfg.OnUnobserved = t.missed.Add
	}
	if s.Intercept {
		if t.ca, err = openCA(s, t.log); err != nil {
			return usageError{err}
		}
		cfg.Intercept, cfg.OnHandshakeError = t.ca, t.handshakeFailed()
	}
	if s.CSMListen != "" {
		seen := csm.NewSeen(t.pipeline)
		cfg.Sink = seen
		t.csm, err = csm.New(csm.Config{
			Classifier: t.classifier.Load, Sink: t.pipeline, CredentialKey: names.Key, CredentialAliases: names.Aliases, Seen: seen,
		})
		if err != nil {
			return usageError{err}
		}
		if t.csmListener = t.service.sockets.PacketConn(csmSocket); t.csmListener == nil {
			if t.csmListener, err = new(net.ListenConfig).ListenPacket(ctx, "udp", s.CSMListen); err != nil {
				return listenError("csm.listen-address", s.CSMListen, err)
			}
		}
	}
	limits.ApplyMemory()
	cfg.Loops = loops()
	cfg.MaxConnections, cfg.MaxTurnedAway = maxConnections(s), limits.TurnedAway()
	if cfg.MaxConnections < s.MaxConnections {
		t.log.Warn(tooManyConnections(s.MaxConnections, cfg.MaxConnections))
	}
	cfg.BufferBytes = cmp.Or(s.BufferLimit, limits.Buffers())
	cfg.QueueBytes = limits.Queues()
	if t.proxy, err = collector.New(cfg); err != nil {
		return usageError{err}
	}
	if len(s.Resign.Listen) > 0 {
		if t.resign, err = openResign(s); err != nil {
			return usageError{err}
		}
	}
	t.registerCollectors()
	return nil
}

// maxConnections returns the limit on connections of programs; 0 is none.
func maxConnections(s *config.Settings) int {
	secure := s.Intercept || s.UpstreamScheme == "https" || len(s.Resign.Listen) > 0
	return limits.Connections(s.MaxConnections, secure)
}

// tooManyConnections warns of a setting that the process has no file descriptors for.
func tooManyConnections(wanted, fits int) string {
	return fmt.Sprintf("--proxy.max-connections is %d, but there are file descriptors for %d connections, which is the limit: raise ulimit -n, or LimitNOFILE of the service", wanted, fits)
}

// loops returns the number of event loops: one per processor, if there are file
// descriptors for them. It raises GOMAXPROCS by that, because a thread that waits in
// epoll_wait counts as running until events no longer come often.
var loops = sync.OnceValue(func() int {
	processors := runtime.GOMAXPROCS(0)
	n := limits.Loops(processors)
	runtime.GOMAXPROCS(processors + n)
	return n
})

// reportEnvironment logs and counts the variables that are ignored.
func (t *tap) reportEnvironment(problems []usererror.Ignored) {
	t.problems = problems
	names := make([]string, len(t.problems))
	for i, p := range t.problems {
		names[i] = p.Variable
		t.log.Warn("an environment variable is ignored", zap.String("variable", p.Variable), zap.String("reason", p.Reason))
	}
	t.metrics.SetIgnoredVariables(names)
}

// abandon releases the resources of a tap that was never served.
func (t *tap) abandon() {
	for _, all := range t.listeners {
		for _, ln := range all {
			_ = ln.Close()
		}
	}
	if t.csmListener != nil {
		_ = t.csmListener.Close()
	}
	t.service.sockets.Close()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	switch {
	case t.pipeline != nil:
		_ = t.pipeline.Shutdown(ctx)
	case t.traces != nil:
		_ = errors.Join(t.traces.Shutdown(ctx), t.push.Shutdown(ctx))
	}
	if t.log != nil {
		_ = t.log.Close()
	}
}

// serve runs the tap until ctx ends or a listener fails. It then waits for running
// calls and flushes all sinks.
func (t *tap) serve(ctx context.Context) error {
	t.log.Info("ksyun-tap started", slices.Concat([]zap.Field{zap.String("version", version.Version)}, t.listening(), []zap.Field{zap.Bool("traces", t.traces.Exports()), zap.Bool("otlp_logs", t.push.Core() != nil), zap.Bool("otlp_metrics", t.push.Metrics())})...)

	group, failed := errgroup.WithContext(ctx)
	for _, w := range ways {
		for _, ln := range t.listeners[w.name] {
			if w.serve != nil {
				group.Go(func() error { return w.serve(t, ln) })
			}
		}
	}
	if t.resign != nil {
		group.Go(func() error { t.watchKeys(failed, t.resign.keys, "credentials"); return nil })
		if t.resign.local != nil {
			group.Go(func() error { t.watchKeys(failed, t.resign.local, "keys of programs"); return nil })
		}
	}
	if t.csm != nil {
		group.Go(func() error { return t.csm.Serve(t.csmListener) })
	}
	if t.ca != nil {
		group.Go(func() error { t.ca.Maintain(failed); return nil })
	}
	if t.path != nil {
		group.Go(func() error { t.checkPaths(failed); return nil })
	}
	group.Go(func() error {
		memory.Return() // what the start needed
		memory.ReturnWhenQuiet(failed, t.relayed)
		return nil
	})
	group.Go(t.web.Serve)
	group.Go(t.admin.Serve)
	group.Go(func() error { t.service.manager.Watch(failed, t.alive); return nil })
	t.ready.Store(true)
	t.service.manager.Ready(t.status(nil))

	<-failed.Done()
	t.ready.Store(false)
	t.service.manager.Stopping()
	t.log.Info("ksyun-tap is stopping", zap.Bool("by_signal", ctx.Err() != nil))
	t.stop()
	err := group.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	if closeErr := t.log.Close(); err == nil && closeErr != nil {
		err = lostLogError{closeErr}
	}
	return err
}

// relayed returns a number that grows with what programs do.
func (t *tap) relayed() int64 {
	s := t.proxy.Stats()
	return s.Accepted + s.RequestBytes + s.ResponseBytes
}

// lostLogError reports that the last lines of the log could not be written.
type lostLogError struct{ error }

func (e lostLogError) Error() string { return "write the log: " + e.error.Error() }

func (e lostLogError) Unwrap() error { return e.error }

// stop shuts down everything in the order in which data flows.
func (t *tap) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), t.settings.ShutdownTimeout)
	defer cancel()
	if err := t.proxy.Shutdown(ctx); err != nil {
		t.log.Warn("calls were cut off", zap.Error(err))
	}
	if t.csm != nil {
		if err := t.csm.Shutdown(ctx); err != nil {
			t.log.Warn("client-side monitoring records were lost", zap.Error(err))
		}
	}
	flush, cancelFlush := context.WithTimeout(context.Background(), flushTimeout)
	defer cancelFlush()
	if err := t.pipeline.Shutdown(flush); err != nil {
		t.log.Warn("telemetry was lost", zap.Error(err))
	}
	if err := errors.Join(t.admin.Shutdown(flush), t.web.Shutdown(flush)); err != nil {
		t.log.Warn("web requests were cut off", zap.Error(err))
	}
}

// notReady returns why the tap is not ready, or nil if it is.
func (t *tap) notReady() error {
	if !t.ready.Load() {
		return errors.New("starting or stopping")
	}
	return nil
}
