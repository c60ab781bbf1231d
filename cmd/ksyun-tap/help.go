package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// commandGroups are the groups of commands in the help.
var commandGroups = []commandGroup{
	{"Observe calls", []string{"run", "exec", "demo"}},
	{"Find and understand failures", []string{"failures", "lookup", "explain", "classify", "doctor"}},
	{"Set up and check", []string{"check-config", "check-path", "ready", "ca", "init-redirect"}},
	{"Other commands", nil}, // those that are in no other group
}

type commandGroup struct {
	title string
	names []string // without subcommands
}

// usageGroup is a group of commands, for the template.
type usageGroup struct {
	Title    string
	Commands []*kingpin.CmdModel
}

// inGroups returns the commands that are not hidden, with their subcommands.
func inGroups(app *kingpin.ApplicationModel) []usageGroup {
	all := make([]usageGroup, len(commandGroups))
	for i, g := range commandGroups {
		all[i].Title = g.title
	}
	for _, c := range app.FlattenedCommands() {
		if c.Hidden {
			continue
		}
		name, _, _ := strings.Cut(c.FullCommand, " ")
		i := slices.IndexFunc(commandGroups, func(g commandGroup) bool { return slices.Contains(g.names, name) })
		if i < 0 {
			i = len(all) - 1
		}
		all[i].Commands = append(all[i].Commands, c)
	}
	for i, g := range commandGroups { // in the order of the groups
		slices.SortStableFunc(all[i].Commands, func(a, b *kingpin.CmdModel) int {
			return index(g.names, a) - index(g.names, b)
		})
	}
	return all
}

func index(names []string, c *kingpin.CmdModel) int {
	name, _, _ := strings.Cut(c.FullCommand, " ")
	return slices.Index(names, name)
}

// usageTemplate is the template of the help: for the program, its commands in groups,
// and for a command, its flags and arguments.
const usageTemplate = `{{define "Arguments" -}}
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
