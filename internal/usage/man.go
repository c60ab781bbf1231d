package usage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// ManPage returns the manual page in the format of man(7). The settings, which
// several commands take as flags, are listed once.
func ManPage(app *kingpin.ApplicationModel) string {
	settings := map[string]bool{}
	for _, d := range config.Describe() {
		settings[d.Name] = true
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`.TH KSYUN\-TAP 1 "" "ksyun-tap %s" "User Commands"`, roff(version.Version))
	line(".SH NAME\nksyun\\-tap \\- tap on calls of the Ksyun Cloud Monitor API")
	line(".SH SYNOPSIS\n.B ksyun\\-tap\n.RI [ COMMAND ] \" \" [ FLAGS ]")
	line(".SH DESCRIPTION\n%s", roff(app.Help))
	line(".SH COMMANDS")
	for _, cmd := range commands(app) {
		takesSettings := slices.ContainsFunc(cmd.Flags, func(f *kingpin.FlagModel) bool { return f.Name == "config.file" })
		line(".SS %s", roff(strings.TrimSpace(cmd.FullCommand+" "+arguments(cmd.Args))))
		line("%s", roff(cmd.Help))
		if takesSettings {
			line("Takes the settings listed below as flags.")
		}
		for _, f := range cmd.Flags {
			if f.Hidden || takesSettings && settings[f.Name] {
				continue
			}
			line(".TP\n.B %s\n%s", roff(flagText(f)), roff(f.Help))
		}
	}
	line(".SH SETTINGS\nA flag takes precedence over the environment, the environment over the file of")
	line(".BR \\-\\-config.file ,\nand the file over the default.")
	line("A reload applies those marked with *, a restart the others.")
	for _, d := range config.Describe() {
		name := "--" + d.Name
		if d.Reloads {
			name += " *"
		}
		text := d.Help
		if d.Default != "" {
			text += " Default: " + d.Default + "."
		}
		line(".TP\n.BR \"%s\" \", %s\"\n%s", roff(name), roff(d.Env), roff(text))
	}
	line(".SH \"EXIT STATUS\"\n0 for success, 1 if the operation failed, 2 if a flag, a setting or a file is wrong.")
	line("exec exits with the status of its command.")
	line(".SH FILES\n.TP\n.I /etc/ksyun\\-tap/ksyun\\-tap.yaml\nSettings of the service.")
	line(".TP\n.I /etc/ksyun\\-tap/ksyun\\-tap.env\nEnvironment of the service.")
	line(".TP\n.I /run/ksyun\\-tap/bundle.pem\nCertificates that programs must trust, if the service intercepts TLS.")
	return b.String()
}

// arguments returns the arguments of a command, without its flags.
func arguments(args []*kingpin.ArgModel) string {
	var all []string
	for _, a := range args {
		text := strings.ToUpper(a.Name)
		if a.PlaceHolder != "" {
			text = a.PlaceHolder
		}
		if !a.Required {
			text = "[" + text + "]"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func flagText(f *kingpin.FlagModel) string {
	text := "--" + f.Name
	if !f.IsBoolFlag() {
		text += "=" + f.FormatPlaceHolder()
	}
	return text
}

// roff escapes text so that it appears unchanged in the page.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`).Replace(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
