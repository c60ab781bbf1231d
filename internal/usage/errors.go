package usage

import (
	"errors"
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
	command, help := app.GetCommand("run"), app.Name
	for i, get := 0, app.GetCommand; i < len(args) && get(args[i]) != nil; i++ {
		command, help = get(args[i]), help+" "+args[i]
		get = command.GetCommand
	}
	if flag, ok := strings.CutPrefix(err.Error(), "unknown long flag '--"); ok {
		var flags []string
		for _, f := range command.Model().Flags {
			flags = append(flags, f.Name)
		}
		if near, ok := usererror.Nearest(strings.TrimSuffix(flag, "'"), flags); ok {
			return usererror.Wrap(err, "did you mean --"+near+"?")
		}
	}
	return usererror.Wrap(err, "see "+help+" --help")
}
