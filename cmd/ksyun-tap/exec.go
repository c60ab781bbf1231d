package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/childenv"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/subprocess"
	"github.com/ksyun-tap/ksyun-tap/internal/summary"
)

// execVerb runs a command with its calls tapped.
type execVerb struct {
	settings    config.Settings
	command     []string
	summary     string
	summaryFile string
	report      string
	csm         bool
}

func newExec(app *kingpin.Application, file config.File) *execVerb {
	v := &execVerb{}
	c := app.Command("exec", "Run a command with its calls tapped, and report at its end which failed. The command gets proxy and CA variables. ksyun-tap exits with the command's exit code.")
	c.Arg("command", "Command and arguments, after --.").Required().StringsVar(&v.command)
	c.Flag("summary", "text, json or none: the form of the report that is written to standard error when the command has ended.").Default("text").SetValue(config.OneOf(&v.summary, "text", "json", "none"))
	c.Flag("summary.file", "File the report is written to instead.").PlaceHolder("FILE").StringVar(&v.summaryFile)
	c.Flag("report", "Directory to which a report is written: summary, failures as JSON, support tickets in English and Chinese, and a HAR file of the failed exchanges, with header fields and bodies only if --evidence is set. It contains no secrets.").PlaceHolder("DIR").StringVar(&v.report)
	c.Flag("csm", "Have the Go SDK v1 report its calls (AWS_CSM_ENABLED), for programs that use it and ignore proxy variables. It prints \"Enabling CSM\" on the command's standard error.").BoolVar(&v.csm)
	v.settings.Register(c, file, "proxy.listen-address", "web.listen-address", "web.admin-listen-address", "web.enable-lifecycle", "web.config.file", "tap.other-hosts", "intercept", "csm.listen-address", "proxy.shutdown-timeout")
	return v
}

func (v *execVerb) run(ctx context.Context, std stdio) error {
	s := &v.settings
	v.fix()
	out := proxyenv.Read(os.Getenv, nil)
	checked := *s
	checked.CADir = cmp.Or(s.CADir, os.TempDir()) // it is created later
	if _, _, err := resolve(&checked, out); err != nil {
		return usageError{err}
	}
	t, child, err := v.prepare(ctx, out)
	if err != nil {
		// The command must run even if the tap cannot.
		fmt.Fprintf(std.err, "ksyun-tap: %v: the command runs without the tap\n", err)
		_, childErr := v.runChild(std, os.Environ())
		return childErr
	}
	defer os.RemoveAll(child.private)
	for _, p := range t.problems {
		fmt.Fprintf(std.err, "ksyun-tap: %s (ignored)\n", p)
	}
	for _, note := range child.notes {
		fmt.Fprintf(std.err, "ksyun-tap: %s\n", note)
	}
	// The tap is stopped only after the command has ended, for whatever reason.
	tapCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- t.serve(tapCtx) }()

	started, childErr := v.runChild(std, child.env)
	stop()
	if err := <-served; err != nil {
		fmt.Fprintln(std.err, "ksyun-tap:", err)
	}
	if !started {
		return childErr // there is no command to summarise
	}
	of := summary.New(t.metrics, t.groups, &t.missed, t.proxy.Stats().Accepted > 0)
	if err := v.summarise(std, of); err != nil {
		fmt.Fprintln(std.err, "ksyun-tap:", err)
	}
	if v.report != "" {
		if err := of.Report(v.report, t.journal, t.evidence); err != nil {
			fmt.Fprintln(std.err, "ksyun-tap: write the report:", err)
		}
	}
	return childErr
}

// summarise writes the summary.
func (v *execVerb) summarise(std stdio, of summary.Summary) error {
	if v.summary == "none" {
		return nil
	}
	out := std.err
	if v.summaryFile != "" {
		f, err := createSummary(v.summaryFile)
		if err != nil {
			return fmt.Errorf("write the summary: %w", err)
		}
		defer f.Close()
		out = &output.Patient{Out: f}
	}
	if v.summary == "json" {
		return output.JSON(out, of)
	}
	return of.Print(out)
}

// createSummary opens the file for the summary, without waiting for a pipe to have
// a reader.
func createSummary(name string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	return os.OpenFile(name, flags, 0o666) //nolint:gosec // like a shell's redirection
}

// fix sets what the verb needs.
func (v *execVerb) fix() {
	s := &v.settings
	// Only the command can use these listeners, on loopback, so requests to hosts
	// that are not tapped may pass.
	s.Fix("exec", "proxy.listen-address", "127.0.0.1:0")
	s.Fix("exec", "web.listen-address", "127.0.0.1:0")
	s.Fix("exec", "tap.other-hosts", collector.OtherPass.String())
	s.Fix("exec", "intercept", "true")
	if v.csm {
		s.Fix("exec", "csm.listen-address", "127.0.0.1:0")
	}
	s.Fix("exec", "proxy.shutdown-timeout", flushTimeout.String())
}

// child is the environment of the command.
type child struct {
	private string // directory for the files of this command
	env     []string
	notes   []string
}

// prepare makes the tap and the environment in which the command is tapped.
func (v *execVerb) prepare(ctx context.Context, out *proxyenv.Proxies) (_ *tap, _ *child, err error) {
	s := &v.settings
	if err := out.Err(); err != nil {
		return nil, nil, err
	}
	private, err := privateDir()
	if err != nil {
		return nil, nil, fmt.Errorf("create a directory for the files of the command: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(private)
		}
	}()
	if s.CADir == "" {
		s.Fix("exec", "intercept.ca-dir", filepath.Join(private, "ca"))
	}
	reread := func() (*config.Settings, error) { return s, nil }
	// A command that is one step of a traced job gets the span of that step in its
	// environment. Calls of its own that are not traced belong to that step.
	parent := traces.Parent{Traceparent: os.Getenv("TRACEPARENT"), Tracestate: os.Getenv("TRACESTATE")}
	t, err := newTap(ctx, s, reread, outputs{log: io.Discard, parent: parent}, service{})
	if err != nil {
		return nil, nil, err
	}
	cfg := childenv.Config{
		Base: os.Environ(), Dir: private, Proxy: t.address(wayProxy), TrustDir: s.TrustDir(), Upstream: out, TapHosts: s.TapHosts,
	}
	if t.csmListener != nil {
		cfg.CSM = t.csmListener.LocalAddr()
	}
	env, notes, err := childenv.New(cfg)
	if err != nil {
		t.abandon()
		return nil, nil, err
	}
	return t, &child{private, env, notes}, nil
}

// privateDir creates a temporary directory, even if TMPDIR names none.
func privateDir() (dir string, err error) {
	for _, parent := range []string{"", "/dev/shm", "/tmp", "."} {
		if dir, err = os.MkdirTemp(parent, "ksyun-tap-exec-"); err == nil {
			return filepath.Abs(dir)
		}
	}
	return "", err
}

// runChild runs the command until it and all processes that it left have ended. Its
// exit code is returned as an exitError. started is false if the command could not be
// started.
func (v *execVerb) runChild(std stdio, env []string) (started bool, err error) {
	cmd := exec.Command(v.command[0], v.command[1:]...) //nolint:gosec,noctx // the user asked to run it; signals end it
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = std.in, std.out, output.Direct(std.err)
	started, code, err := subprocess.Run(cmd, func(left int) {
		// Their calls go through the tap and would fail without it.
		fmt.Fprintf(std.err, "ksyun-tap: %s ended and left %d processes running; the tap runs until they end\n", v.command[0], left)
	})
	if code != exitOK {
		return started, exitError{code, err}
	}
	return started, nil
}

// exitError ends the program with an exit code. Without an error nothing is
// printed: the command that was run has reported its own.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

func (e exitError) Error() string {
	if e.error == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.error.Error()
}
