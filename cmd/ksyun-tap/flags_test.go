package main

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// anyText are the flags whose values are not checked when the command line is read: names
// of files, and texts that programs and the vendor define.
var anyText = []string{
	"action", "body", "ca-file", "code", "credential.key-file", "dir", "evidence.field", "evidence.header",
	"file", "intercept.ca-dir", "intercept.publish-dir", "journal.path", "log.file", "lookup.http-config.file",
	"lookup.jaeger-service", "report", "resign.cert-file", "resign.client-ca-file", "resign.client-key-file",
	"resign.credentials-file", "resign.key-file", "resign.region", "resign.service", "summary.file",
	"tap.catalog-file", "upstream.ca-file", "web.config.file",
}

// unquoted is the flag whose errors do not quote the value: it may be a key.
const unquoted = "credential.alias"

// TestFlags gives each flag of each command a value that it cannot have, and none.
func TestFlags(t *testing.T) {
	clearEnvironment(t)
	const bad = "x y"
	unchecked := map[string]bool{}
	for _, c := range commandsWithFlags(newCommandLine(config.File{}, io.Discard).app.Model().Commands, nil) {
		for _, f := range c.Flags {
			t.Run(c.FullCommand+" --"+f.Name, func(t *testing.T) {
				err := parseFlag(c, f, "--"+f.Name+"="+bad)
				switch {
				case err == nil:
					unchecked[f.Name] = true
				case f.Name == unquoted:
					requireClear(t, err, "--"+f.Name+": ")
					assert.NotContains(t, err.Error(), bad)
				default:
					requireClear(t, err, "--"+f.Name+": ")
					assert.Contains(t, err.Error(), bad)
				}
				if !f.IsBoolFlag() {
					requireClear(t, parseFlag(c, f, "--"+f.Name), "--"+f.Name+" needs a value")
					return
				}
				for _, spelling := range []string{"=true", "=false", "=0", ""} {
					require.NoError(t, parseFlag(c, f, "--"+f.Name+spelling))
				}
			})
		}
	}
	assert.Equal(t, anyText, slices.Sorted(maps.Keys(unchecked)), "flags that accept any text")
}

// commandsWithFlags returns the commands without subcommands, with the flags of the commands
// that they are of.
func commandsWithFlags(commands []*kingpin.CmdModel, flags []*kingpin.FlagModel) (all []*kingpin.CmdModel) {
	for _, c := range commands {
		c.Flags = append(slices.Clone(flags), c.Flags...)
		if len(c.Commands) == 0 {
			all = append(all, c)
		}
		all = append(all, commandsWithFlags(c.Commands, c.Flags)...)
	}
	return all
}

// parseFlag parses a command line with arg and what the command c requires besides f.
func parseFlag(c *kingpin.CmdModel, f *kingpin.FlagModel, arg string) error {
	args := strings.Fields(c.FullCommand)
	for _, other := range c.Flags {
		if other.Required && other.Name != f.Name {
			args = append(args, "--"+other.Name+"=x")
		}
	}
	for _, a := range c.Args {
		if a.Required {
			args = append(args, "x")
		}
	}
	_, _, err := parseCommandLine(append(args, arg), io.Discard)
	return err
}

// requireClear checks that an error is one of usage that begins with the flag, and has a hint.
func requireClear(t *testing.T, err error, begin string) {
	t.Helper()
	require.ErrorAs(t, err, new(usageError))
	assert.True(t, strings.HasPrefix(err.Error(), begin), "%v, want it to begin with %s", err, begin)
	if hint := usererror.Hint(err); strings.HasSuffix(begin, ": ") {
		assert.NotContains(t, hint, "--help", "hint of %v", err)
		assert.NotEmpty(t, hint, "hint of %v", err)
	}
}
