// Package usage formats the help, the manual page and the errors of a command line.
package usage

import (
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
)

// Group is a group of commands in the help.
type Group struct {
	Title string
	Names []string // without subcommands
}

// Set sets the form of the help. Commands that no group names are in the last one.
func Set(app *kingpin.Application, groups []Group) {
	app.UsageTemplate(help).UsageFuncs(template.FuncMap{
		"InGroups": func(app *kingpin.ApplicationModel) []arranged { return arrange(commands(app), groups) },
	})
}

// arranged is a group of commands with their subcommands, for the template.
type arranged struct {
	Title    string
	Commands []*kingpin.CmdModel
}

func arrange(commands []*kingpin.CmdModel, groups []Group) []arranged {
	all := make([]arranged, len(groups))
	rest := commands
	for i, g := range groups {
		all[i].Title = g.Title
		for _, name := range g.Names {
			has := func(c *kingpin.CmdModel) bool {
				return c.FullCommand == name || strings.HasPrefix(c.FullCommand, name+" ")
			}
			for _, c := range commands {
				if has(c) {
					all[i].Commands = append(all[i].Commands, c)
				}
			}
			rest = slices.DeleteFunc(slices.Clone(rest), has)
		}
	}
	last := &all[len(all)-1]
	last.Commands = append(last.Commands, rest...)
	return all
}

// commands returns the commands and subcommands that are not hidden.
func commands(app *kingpin.ApplicationModel) []*kingpin.CmdModel {
	return slices.DeleteFunc(app.FlattenedCommands(), func(c *kingpin.CmdModel) bool { return c.Hidden })
}

// help is the template of the help: for the program, its commands in groups,
// and for a command, its flags and arguments.
const help = `{{define "Arguments" -}}
{{range .Args}}{{if not .Hidden}} {{if not .Required}}[{{end}}{{if .PlaceHolder}}{{.PlaceHolder}}{{else}}<{{.Name}}>{{end}}{{if .Value|IsCumulative}}...{{end}}{{if not .Required}}]{{end}}{{end}}{{end -}}
{{end -}}

{{with .Context.SelectedCommand -}}
usage: {{$.App.Name}} {{.FullCommand}}{{if .FlagSummary}} {{.FlagSummary}}{{end}}{{template "Arguments" .}}{{if .Commands}} <command> [<args> ...]{{end}}
{{if .Help}}
{{.Help|Wrap 0}}
{{- end}}
{{else -}}
usage: {{.App.Name}} [<command>] [<flags>] [<args> ...]

{{.App.Help|Wrap 0}}
Without a command, the tap is run. Help for a command: {{.App.Name}} help <command>.

{{range InGroups .App}}{{.Title}}:
{{range .Commands}}  {{.FullCommand}}{{template "Arguments" .}}
{{.Help|Wrap 4}}{{end}}
{{end -}}
{{end -}}

{{if .Context.Flags -}}
Flags:
{{.Context.Flags|FlagsToTwoColumns|FormatTwoColumns}}
{{end -}}
{{if .Context.Args -}}
Args:
{{.Context.Args|ArgsToTwoColumns|FormatTwoColumns}}
{{end -}}
{{with .Context.SelectedCommand}}{{if .Commands -}}
Subcommands:
{{range .FlattenedCommands}}  {{.FullCommand}}{{template "Arguments" .}}
{{.Help|Wrap 4}}{{end}}
{{- end}}{{end -}}
`
