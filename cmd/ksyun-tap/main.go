// Command ksyun-tap taps a program's calls of the Ksyun Cloud Monitor API: it
// passes every byte on unchanged, and tells Prometheus, OpenTelemetry, a log
// and a list of recent failures what became of each call.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for did not succeed
	exitUsage  = 2 // a flag, setting or file is wrong
	exitAlien  = 3 // what classify read is not an answer of the API
)

// usageError is an error in what the user wrote.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func init() {
	if version.Version != "" {
		return
	}
	// Not set by the linker: go run and go install know the module's own.
	version.Version = "dev"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version.Version = info.Main.Version
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends ctx; from then on a second one kills.
	context.AfterFunc(ctx, stop)
	// A pipe that nobody reads any more is an error of the write, and not the
	// end of this program. Being caught and not ignored, the signal is as ever
	// for the commands that exec runs.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, &patient{w: os.Stderr}))
}

// verb is one thing the program does.
type verb func(ctx context.Context, io stdio) error

type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run is main without the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	do, err := parse(args, out)
	if err == nil && do != nil {
		err = do(ctx, stdio{in, out, errOut})
	}
	var usage usageError
	var exit exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.error != nil {
			fmt.Fprintln(errOut, "ksyun-tap:", err)
		}
		return exit.code
	case errors.As(err, &usage):
		fmt.Fprintln(errOut, "ksyun-tap:", err)
		return exitUsage
	default:
		fmt.Fprintln(errOut, "ksyun-tap:", err)
		return exitFailed
	}
}

// parse reads the command line, twice where it names a configuration file: the
// file's values are defaults of the second reading.
func parse(args []string, out io.Writer) (verb, error) {
	_, do, err := parseCommandLine(args, out)
	return do, err
}

// rereadSettings reads the settings once more: the same command line and
// environment, and what the configuration file says by now.
func rereadSettings(args []string) (*config.Settings, error) {
	c := newCommandLine(config.File{}, io.Discard)
	if _, err := c.parse(args); err != nil {
		return nil, err
	}
	// A pipe has nothing more to read, or would be waited for.
	if err := config.CheckRereadable(c.settings.ConfigFile); err != nil {
		return nil, fmt.Errorf("%w: restart to change the settings", err)
	}
	c, _, err := parseCommandLine(args, io.Discard)
	if err != nil {
		return nil, err
	}
	s := &c.settings
	if err := config.CheckRereadable(append([]string{s.UpstreamCAFile}, s.CatalogFiles...)...); err != nil {
		return nil, fmt.Errorf("%w: restart to change the settings", err)
	}
	return s, nil
}

func parseCommandLine(args []string, out io.Writer) (*commandLine, verb, error) {
	c := newCommandLine(config.File{}, out)
	do, err := c.parse(args)
	if err != nil || c.exited || c.settings.ConfigFile == "" {
		return c, do, err
	}
	file, err := config.Load(c.settings.ConfigFile)
	if err != nil {
		return nil, nil, usageError{err}
	}
	c = newCommandLine(file, out)
	do, err = c.parse(args)
	return c, do, err
}

// commandLine is the program's verbs and flags.
type commandLine struct {
	app      *kingpin.Application
	args     []string
	settings config.Settings
	verbs    map[string]verb
	exited   bool // help was shown
}

func newCommandLine(file config.File, out io.Writer) *commandLine {
	app := kingpin.New("ksyun-tap", "Taps calls of the Ksyun Cloud Monitor API: every byte passes unchanged, and each failed call becomes a metric, a span, a log line and an entry that is found by its request ID.")
	c := &commandLine{app: app, verbs: map[string]verb{}}
	app.UsageWriter(out).ErrorWriter(out)
	app.Terminate(func(int) { c.exited = true })
	app.HelpFlag.Short('h')

	runVerb := app.Command("run", "Run the tap: the sidecar itself.").Default()
	c.settings.Register(runVerb, file)
	c.verbs["run"] = func(ctx context.Context, std stdio) error {
		return runTap(ctx, &c.settings, func() (*config.Settings, error) { return rereadSettings(c.args) }, std)
	}

	c.verbs["exec"] = newExec(app, file).run
	c.verbs["demo"] = newDemo(app, file).run

	c.verbs["check-config"] = newCheckConfig(app, &c.settings, file).run

	c.verbs["classify"] = newClassify(app).run
	c.verbs["explain"] = newExplain(app).run
	c.verbs["doctor"] = newDoctor(app).run
	c.verbs["lookup"] = newLookup(app).run
	c.verbs["ready"] = newReady(app).run
	c.verbs["check-path"] = newCheckPath(app).run
	newCA(app, c.verbs)
	c.verbs["init-redirect"] = newInitRedirect(app).run

	c.verbs["man"] = newMan(app)

	app.Command("version", "Print version and build information.")
	c.verbs["version"] = func(_ context.Context, std stdio) error {
		_, err := fmt.Fprintln(std.out, version.Print("ksyun-tap"))
		return err
	}
	return c
}

func (c *commandLine) parse(args []string) (verb, error) {
	c.args = args
	if parsed, err := c.app.ParseContext(args); err == nil {
		c.settings.Given(flagsOf(parsed))
	}
	name, err := c.app.Parse(args)
	switch {
	case c.exited:
		return nil, nil
	case err != nil:
		return nil, usageError{fmt.Errorf("%w (see ksyun-tap --help)", err)}
	}
	return c.verbs[name], nil
}

// flagsOf returns the names of the flags that a command line sets.
func flagsOf(c *kingpin.ParseContext) (names []string) {
	for _, e := range c.Elements {
		if f, ok := e.Clause.(*kingpin.FlagClause); ok {
			names = append(names, f.Model().Name)
		}
	}
	return names
}
