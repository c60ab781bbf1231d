// Command ksyun-tap is a sidecar for programs that call the Ksyun Cloud Monitor
// API. It relays every byte unchanged and reports each call to Prometheus,
// OpenTelemetry, a log and a journal of recent failures.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/usage"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // the operation failed
	exitUsage       = 2 // a flag, a setting or a file is wrong
	exitNotResponse = 3 // the input of classify is not a response of the API

	exitNone       = 1 // failures and lookup: nothing was found
	exitNoResponse = 2 // failures: the tap did not answer; lookup: nothing was found, and not all answered
)

// usageError is an error that the user can fix on the command line or in a file.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func init() {
	if version.Version != "" {
		return
	}
	// The linker sets it in releases. go run and go install know the module's.
	version.Version = "dev"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version.Version = info.Main.Version
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends ctx; a second one kills the process.
	context.AfterFunc(ctx, stop)
	// Writing to a pipe that has no reader must return an error and not kill this
	// process. The signal is caught, not ignored, so that commands run by exec
	// have the default behaviour.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, &output.Patient{Out: os.Stderr}))
}

// unfailing is an output whose errors are ignored. kingpin panics if it cannot print
// help, such as to a pipe that has been closed.
type unfailing struct{ io.Writer }

// Write writes p as far as possible.
func (u unfailing) Write(p []byte) (int, error) {
	_, _ = u.Writer.Write(p)
	return len(p), nil
}

// verb is one command of ksyun-tap.
type verb func(ctx context.Context, io stdio) error

type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run runs the command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	do, err := parse(args, out)
	if err == nil && do != nil {
		err = do(ctx, stdio{in, out, errOut})
	}
	var wrong usageError
	var exit exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.error != nil {
			usererror.Print(errOut, "ksyun-tap", err)
		}
		return exit.code
	case unread(out, err):
		return exitFailed
	case errors.As(err, &wrong):
		usererror.Print(errOut, "ksyun-tap", err)
		return exitUsage
	default:
		usererror.Print(errOut, "ksyun-tap", err)
		return exitFailed
	}
}

// unread reports whether err is that nothing reads out any more, as after "| head".
func unread(out io.Writer, err error) bool {
	file, isFile := out.(*os.File)
	e, ok := errors.AsType[*fs.PathError](err)
	return ok && isFile && e.Path == file.Name() && errors.Is(err, syscall.EPIPE)
}

// parse parses the command line. If it names a configuration file, it is parsed
// again with the file's values as defaults.
func parse(args []string, out io.Writer) (verb, error) {
	_, do, err := parseCommandLine(args, out)
	return do, err
}

// rereadSettings returns the settings for a reload: from the same command line
// and environment, and the current configuration file.
func rereadSettings(args []string) (*config.Settings, error) {
	c := newCommandLine(config.File{}, io.Discard)
	if _, err := c.parse(args); err != nil {
		return nil, err
	}
	// A pipe was read already, and reading it again could block.
	const hint = "restart to change the settings"
	if err := config.CheckRereadable(hint, c.configFile()); err != nil {
		return nil, err
	}
	c, _, err := parseCommandLine(args, io.Discard)
	if err != nil {
		return nil, err
	}
	s := &c.settings
	if err := config.CheckRereadable(hint, append([]string{s.UpstreamCAFile}, s.CatalogFiles...)...); err != nil {
		return nil, err
	}
	return s, nil
}

func parseCommandLine(args []string, out io.Writer) (*commandLine, verb, error) {
	c := newCommandLine(config.File{}, out)
	do, err := c.parse(args)
	if err != nil || c.exited || c.configFile() == "" {
		return c, do, err
	}
	file, err := config.Load(c.configFile())
	if err != nil {
		return nil, nil, usageError{err}
	}
	c = newCommandLine(file, out)
	do, err = c.parse(args)
	return c, do, err
}

// commandGroups are the groups of commands in the help.
var commandGroups = []usage.Group{
	{Title: "Observe calls", Names: []string{"run", "exec", "demo"}},
	{Title: "Find and understand failures", Names: []string{"failures", "lookup", "explain", "classify", "doctor"}},
	{Title: "Set up and check", Names: []string{"check-config", "check-path", "ready", "ca", "init-redirect"}},
	{Title: "Other commands"},
}

// commandLine holds the commands and flags.
type commandLine struct {
	app      *kingpin.Application
	args     []string
	settings config.Settings    // of run and of verbs that only read them
	own      []*config.Settings // of the verbs that run a tap of another kind
	verbs    map[string]verb
	exited   bool // kingpin printed help and wanted to exit
}

func newCommandLine(file config.File, out io.Writer) *commandLine {
	app := kingpin.New("ksyun-tap", "Observes calls of the Ksyun Cloud Monitor API. Every byte is relayed unchanged, and each failed call becomes a metric, a span, a log line and a journal entry that can be found by its request ID.")
	c := &commandLine{app: app, verbs: map[string]verb{}}
	app.UsageWriter(unfailing{out}).ErrorWriter(unfailing{out})
	app.Terminate(func(int) { c.exited = true })
	app.HelpFlag.Short('h').Help("Print this help.")
	app.Version(version.Print("ksyun-tap"))
	app.VersionFlag.Help("Print version and build information.")
	usage.Set(app, commandGroups)

	runVerb := app.Command("run", "Run the tap (the default command).").Default()
	c.settings.Register(runVerb, file)
	c.verbs["run"] = func(ctx context.Context, std stdio) error {
		return runTap(ctx, &c.settings, func() (*config.Settings, error) { return rereadSettings(c.args) }, std)
	}

	command, demo := newExec(app, file), newDemo(app, file)
	c.verbs["exec"], c.verbs["demo"] = command.run, demo.run
	c.own = append(c.own, &command.settings, &demo.settings)

	c.verbs["check-config"] = newCheckConfig(app, &c.settings, file).run

	c.verbs["classify"] = newClassify(app).run
	c.verbs["explain"] = newExplain(app).run
	c.verbs["doctor"] = newDoctor(app).run
	c.verbs["failures"] = newFailures(app).run
	c.verbs["lookup"] = newLookup(app, &c.settings, file).run
	c.verbs["ready"] = newReady(app).run
	c.verbs["check-path"] = newCheckPath(app).run
	newCA(app, c.verbs)
	c.verbs["init-redirect"] = newInitRedirect(app).run

	app.Command("man", "Print the manual page.").Hidden() // for packages
	c.verbs["man"] = func(_ context.Context, std stdio) error {
		_, err := io.WriteString(std.out, usage.ManPage(app.Model()))
		return err
	}

	app.Command("version", "Print version and build information.")
	c.verbs["version"] = func(_ context.Context, std stdio) error {
		_, err := fmt.Fprintln(std.out, version.Print("ksyun-tap"))
		return err
	}
	usage.NameFlags(app)
	return c
}

// configFile returns the name of the configuration file that the command line or the
// environment sets for its verb, or "".
func (c *commandLine) configFile() string {
	name := c.settings.ConfigFile
	for _, s := range c.own {
		name = cmp.Or(name, s.ConfigFile)
	}
	return name
}

func (c *commandLine) parse(args []string) (verb, error) {
	c.args = args
	spelled, err := usage.Booleans(c.app, args)
	if err != nil {
		return nil, usageError{err}
	}
	name, err := c.app.Parse(spelled)
	switch {
	case c.exited:
		return nil, nil
	case err != nil:
		return nil, usageError{usage.WithHint(c.app, args, err)}
	}
	return c.verbs[name], nil
}
