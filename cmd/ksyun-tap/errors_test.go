package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestPrintedErrors compares the printed form of one error of each source with
// a file.
func TestPrintedErrors(t *testing.T) {
	clearEnvironment(t)
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		testfile.Write(t, path, text, mode)
		return path
	}
	open := filepath.Join(dir, "ca")
	require.NoError(t, os.Mkdir(open, 0o755))
	taken := rawconn.Listen(t)
	ports := []string{"--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"}
	cases := []struct {
		name string
		env  string
		args []string
	}{
		{name: "a command", args: []string{"explian", "LimitExceeded"}},
		{name: "the command line", args: []string{"run", "--nope"}},
		{name: "a flag that is spelled wrong", args: []string{"exec", "--summry=json", "--", "true"}},
		{name: "a choice", args: []string{"exec", "--summary=xml", "--", "true"}},
		{name: "a required flag", args: []string{"ca", "show"}},
		{name: "a flag", args: []string{"run", "--tap.inspect-size=64 bananas"}},
		{name: "a variable", env: "KSYUN_TAP_LOG_LEVEL=loud", args: []string{"run"}},
		{name: "an unknown variable", env: "KSYUN_TAP_LOG_LEVELS=info", args: append([]string{"check-config"}, ports...)},
		{name: "a line of the configuration file", args: []string{"run", "--config.file=" + file("tap.yaml", "tap:\n  hots: x\n", 0o600)}},
		{name: "a configuration file that does not exist", args: []string{"run", "--config.file=" + filepath.Join(dir, "none.yaml")}},
		{name: "a combination of settings", args: []string{"run", "--intercept"}},
		{name: "a line of a catalogue file", args: []string{"explain", "--tap.catalog-file=" + file("codes.yaml", "entries:\n- code: A\n  category: broken\n", 0o600)}},
		{name: "credentials", args: append([]string{"run", "--resign.listen-address=127.0.0.1:0", "--resign.credentials-file=" + file("keys.yaml", "access_key: A\n", 0o644)}, ports...)},
		{name: "credentials in the environment", args: append([]string{"run", "--resign.listen-address=127.0.0.1:0"}, ports...)},
		{name: "the CA", args: append([]string{"run", "--intercept", "--intercept.ca-dir=" + open}, ports...)},
		{name: "certificates", args: append([]string{"run", "--upstream.ca-file=" + file("not.pem", "x", 0o600)}, ports...)},
		{name: "a listener", args: []string{"run", "--web.listen-address=127.0.0.1:0", "--proxy.listen-address=" + taken.Addr().String()}},
		{name: "the log file", args: append([]string{"run", "--log.file=" + filepath.Join(dir, "none", "tap.log")}, ports...)},
		{name: "the log file, checked", args: append([]string{"check-config", "--log.file=" + filepath.Join(dir, "none", "tap.log")}, ports...)},
		{name: "the journal", args: append([]string{"run", "--journal.path=" + filepath.Join(dir, "none", "journal.db")}, ports...)},
		{name: "the path check", args: []string{"check-path", "--proxy=http://" + rawconn.Nowhere}},
		{name: "redirect rules", args: []string{"init-redirect", "--exclude-mark=x"}},
		{name: "a saved response", args: []string{"classify", "--status=7"}},
		{name: "a code", args: []string{"explain", "NoSuchCodeAtAll"}},
	}
	var got strings.Builder
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			clearEnvironment(t)
			if k, v, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(k, v)
			}
			code, _, errOut := command(t, "", tt.args...)
			if code == exitOK {
				t.Fatal("there was no error")
			}
			text := strings.NewReplacer(dir, "DIR", taken.Addr().String(), "ADDRESS").Replace(errOut)
			got.WriteString("# " + tt.name + "\n" + text)
		})
	}
	golden.Check(t, "testdata/errors.golden", []byte(got.String()))
}
