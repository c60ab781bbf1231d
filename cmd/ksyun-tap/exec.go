package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// The exit codes for a command that could not be run, as in a shell.
const (
	exitCannotRun = 126
	exitNotFound  = 127
	exitSignal    = 128 // plus the number of the signal
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
	c.Flag("summary", "text, json or none: the form of the report that is written to standard error when the command has ended.").Default("text").EnumVar(&v.summary, "text", "json", "none")
	c.Flag("summary.file", "File the report is written to instead.").PlaceHolder("FILE").StringVar(&v.summaryFile)
	c.Flag("report", "Directory to which a report is written: summary, failures as JSON, support tickets in English and Chinese, and a HAR file of the failed exchanges, with header fields and bodies only if --evidence is set. It contains no secrets.").PlaceHolder("DIR").StringVar(&v.report)
	c.Flag("csm", "Have the Go SDK v1 report its calls (AWS_CSM_ENABLED), for programs that use it and ignore proxy variables. It prints \"Enabling CSM\" on the command's standard error.").BoolVar(&v.csm)
	v.settings.Register(c, file, "proxy.listen-address", "web.listen-address", "web.admin-listen-address", "web.enable-lifecycle", "web.config.file", "tap.other-hosts", "intercept", "csm.listen-address", "proxy.shutdown-timeout")
	return v
}

func (v *execVerb) run(ctx context.Context, std stdio) error {
	s := &v.settings
	v.fix()
	out := readProxies(os.Getenv, nil)
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
	if err := v.summarise(std, t); err != nil {
		fmt.Fprintln(std.err, "ksyun-tap:", err)
	}
	if v.report != "" {
		if err := writeReport(v.report, t); err != nil {
			fmt.Fprintln(std.err, "ksyun-tap: write the report:", err)
		}
	}
	return childErr
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

// prepare makes the tap and the environment in which the command is tapped.
func (v *execVerb) prepare(ctx context.Context, out *proxies) (_ *tap, _ *childSetup, err error) {
	s := &v.settings
	if out.http.bad || out.https.bad {
		return nil, nil, errors.New(out.problems[0].String())
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
	child, err := setUpChild(os.Environ(), t, out, private)
	if err != nil {
		t.abandon()
		return nil, nil, err
	}
	return t, child, nil
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

// runChild runs the command until it ends. Its exit code is returned as an
// exitError. started is false if the command could not be started.
func (v *execVerb) runChild(std stdio, env []string) (started bool, err error) {
	cmd := exec.Command(v.command[0], v.command[1:]...) //nolint:gosec,noctx // the user asked to run it; signals end it
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = std.in, std.out, output.Direct(std.err)

	adopt()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		code := exitCannotRun
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			code = exitNotFound
		}
		return false, exitError{code, fmt.Errorf("run %s: %w", v.command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var result error
	for running := true; running; {
		select {
		case sig := <-signals:
			if !fromTerminal(sig, cmd.Process.Pid) {
				_ = cmd.Process.Signal(sig) // it may have ended by now
			}
		case err := <-ended:
			result, running = childResult(cmd.ProcessState, err), false
		}
	}
	v.outlive(std, signals)
	return true, result
}

// outlive waits for processes that the command left running, such as a daemon:
// their calls go through the tap and would fail without it.
func (v *execVerb) outlive(std stdio, signals <-chan os.Signal) {
	left := orphans()
	if len(left) == 0 {
		return
	}
	fmt.Fprintf(std.err, "ksyun-tap: %s ended and left %d processes running; the tap runs until they end\n", v.command[0], len(left))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		reapAll()
	}()
	for {
		select {
		case sig := <-signals:
			for _, pid := range orphans() {
				if !fromTerminal(sig, pid) {
					kill(pid, sig)
				}
			}
		case <-gone:
			return
		}
	}
}

func childResult(state *os.ProcessState, err error) error {
	if state == nil {
		return err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError{code: exitSignal + int(status.Signal())}
	}
	if state.ExitCode() != exitOK {
		return exitError{code: state.ExitCode()}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("read or write for the command: %w", err)
	}
	return nil
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
