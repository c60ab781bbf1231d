package main

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestSourcesOfSettings checks that every verb that runs a tap reads the configuration
// file, and knows where the values of its settings come from.
func TestSourcesOfSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ksyun-tap.yml")
	testfile.Write(t, file, "journal.size: 7\nlog.level: debug\n", 0o600)
	t.Setenv("KSYUN_TAP_JOURNAL_MAX_AGE", "3h")
	for verb, tt := range map[string]struct {
		args     []string
		settings func(*commandLine) *config.Settings
		fixed    map[string]string
	}{
		"run":  {nil, func(c *commandLine) *config.Settings { return &c.settings }, nil},
		"exec": {[]string{"--", "true"}, func(c *commandLine) *config.Settings { return c.own[0] }, map[string]string{"proxy.listen-address": "127.0.0.1:0", "tap.other-hosts": "pass", "intercept": "true"}},
		"demo": {nil, func(c *commandLine) *config.Settings { return c.own[1] }, map[string]string{"tap.host": config.DefaultTapHost, "traces.success-ratio": "1"}},
	} {
		t.Run(verb, func(t *testing.T) {
			c, _, err := parseCommandLine(append([]string{verb, "--config.file=" + file, "--log.level=warn", "--evidence"}, tt.args...), io.Discard)
			require.NoError(t, err)
			s := tt.settings(c)
			switch verb {
			case "exec":
				(&execVerb{settings: *s}).fix() // shares the sources
			case "demo":
				stage, err := (&demoVerb{settings: *s}).setStage(t.Context())
				require.NoError(t, err)
				defer stage.Close()
			}
			got := map[string]config.Sourced{}
			for _, x := range s.Sourced() {
				got[x.Name] = x
			}
			want := map[string]config.Sourced{
				"log.level": {Value: "warn", Source: "--log.level"}, "evidence": {Value: "true", Source: "--evidence"},
				"config.file": {Value: file, Source: "--config.file"}, "journal.size": {Value: "7", Source: file + ":1"},
				"journal.max-age": {Value: "3h", Source: "KSYUN_TAP_JOURNAL_MAX_AGE"}, "log.format": {Value: "json", Source: "default"},
			}
			for name, value := range tt.fixed {
				want[name] = config.Sourced{Value: value, Source: verb}
			}
			for name, w := range want {
				if g := got[name]; g.Value != w.Value || g.Source != w.Source {
					t.Errorf("%s is %q from %q, want %q from %q", name, g.Value, g.Source, w.Value, w.Source)
				}
			}
		})
	}
}
