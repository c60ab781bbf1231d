package usage

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// named is the value of a flag. Its errors name the flag, unless they already say
// where the text is from.
type named struct {
	kingpin.Value
	flag string
}

// NameFlags makes errors of the values of flags name the flag.
func NameFlags(app *kingpin.Application) { nameFlags(app.Model().Commands, app.GetCommand) }

// nameFlags makes named values of those of the flags of all commands, which get finds.
func nameFlags(commands []*kingpin.CmdModel, get func(name string) *kingpin.CmdClause) {
	for _, model := range commands {
		command := get(model.Name)
		for _, f := range model.Flags {
			command.GetFlag(f.Name).SetValue(named{f.Value, f.Name})
		}
		nameFlags(model.Commands, command.GetCommand)
	}
}

// Set parses text.
func (v named) Set(text string) error {
	err := v.Value.Set(text)
	if e, ok := errors.AsType[*usererror.Error](err); ok && e.Where != "" {
		return err
	}
	return usererror.At("--"+v.flag, err)
}

// IsCumulative reports to kingpin whether the flag may be repeated.
func (v named) IsCumulative() bool {
	c, ok := v.Value.(interface{ IsCumulative() bool })
	return ok && c.IsCumulative()
}

// IsBoolFlag reports to kingpin whether the flag needs no value.
func (v named) IsBoolFlag() bool {
	b, ok := v.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Booleans returns args with flags that need no value in the form that kingpin reads:
// --name=true as --name, and --name=false as --no-name. It returns an error for other
// values, which kingpin would take for arguments.
func Booleans(app *kingpin.Application, args []string) ([]string, error) {
	boolean := map[string]bool{} // the flags of all commands
	flags := app.Model().Flags
	for _, c := range app.Model().FlattenedCommands() {
		flags = append(flags, c.Flags...)
	}
	for _, f := range flags {
		boolean[f.Name] = f.IsBoolFlag()
	}
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !hasValue || !strings.HasPrefix(arg, "--") || !boolean[name] {
			continue
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return nil, &usererror.Error{Where: "--" + name, What: strconv.Quote(value) + " is neither true nor false", Hint: "write true or false"}
		}
		if args[i] = "--" + name; !on {
			args[i] = "--no-" + name
		}
	}
	return args, nil
}

// plain are the errors of kingpin that name a flag or an argument, and what they are
// replaced with.
var plain = []struct{ before, after, replacement string }{
	{"unknown long flag '", "'", "unknown flag %s"},
	{"unknown short flag '", "'", "unknown flag %s"},
	{"expected argument for flag '", "'", "%s needs a value"},
	{"required flag(s) '", "' not provided", "%s is required"},
	{"required argument '", "' not provided", "the argument %s is required"},
	{"flag '", "' cannot be repeated", "--%s cannot be repeated"},
	{"unexpected ", "", "unexpected argument %s"},
}

// inPlainWords returns an error of kingpin in the words of the other errors.
func inPlainWords(err error) error {
	for _, p := range plain {
		rest, isThis := strings.CutPrefix(err.Error(), p.before)
		if name, ends := strings.CutSuffix(rest, p.after); isThis && ends {
			return fmt.Errorf(p.replacement, name)
		}
	}
	return err
}

// WithHint returns an error of the command line with a hint: the command or the flag
// that was probably meant, or where help is.
func WithHint(app *kingpin.Application, args []string, err error) error {
	if usererror.Hint(err) != "" {
		return err
	}
	if len(args) > 0 && err.Error() == "unexpected "+args[0] {
		err = errors.New("unknown command " + args[0])
		var commands []string
		for _, c := range app.Model().Commands {
			commands = append(commands, c.Name)
		}
		if near, ok := usererror.Nearest(args[0], commands); ok {
			return usererror.Wrap(err, "did you mean "+near+"?")
		}
	}
	err = inPlainWords(err)
	command, help := app.GetCommand("run"), app.Name
	for i, get := 0, app.GetCommand; i < len(args) && get(args[i]) != nil; i++ {
		command, help = get(args[i]), help+" "+args[i]
		get = command.GetCommand
	}
	if flag, ok := strings.CutPrefix(err.Error(), "unknown flag --"); ok {
		var flags []string
		for _, f := range command.Model().Flags {
			flags = append(flags, f.Name)
		}
		if near, ok := usererror.Nearest(flag, flags); ok {
			return usererror.Wrap(err, "did you mean --"+near+"?")
		}
	}
	return usererror.Wrap(err, "see "+help+" --help")
}
