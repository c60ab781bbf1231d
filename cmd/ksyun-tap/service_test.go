package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/internal/usage"
)

// TestServiceSettings checks the packages' settings file: all settings are valid, and
// those that are commented out are the defaults.
func TestServiceSettings(t *testing.T) {
	file := filepath.Join("..", "..", "deploy", "systemd", "ksyun-tap.yaml")
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"check-config", "--config.file=" + file}, nil, &out, &errOut); code != exitOK {
		t.Fatalf("as it is: %s", errOut.String())
	}
	text := testfile.Read(t, file)
	commented := regexp.MustCompile(`(?m)^#([a-z][a-z.-]*:.*)$`)
	all := filepath.Join(t.TempDir(), "all.yaml")
	testfile.Write(t, all, commented.ReplaceAll(text, []byte("$1")), 0o600)
	file2, err := config.Load(all)
	require.NoError(t, err, "with all of it")
	c := newCommandLine(file2, &out)
	if _, err := c.parse([]string{"run"}); err != nil {
		t.Fatalf("with all of it: %v", err)
	}
	assert.NoError(t, c.settings.Validate(), "with all of it")
	// These need to be chosen; the rest is what happens without.
	choices := map[string]bool{
		"intercept": true, "transparent.listen-address": true, "resign.listen-address": true, "resign.credentials-file": true,
	}
	defaults := map[string]string{}
	for _, d := range config.Describe() {
		defaults[d.Name] = d.Default
	}
	lines := commented.FindAllStringSubmatch(string(text), -1)
	if len(lines) < 5 {
		t.Errorf("%d settings are commented out, want 5 at least", len(lines))
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line[1], ": ")
		value = strings.Trim(value, `["]`)
		if !choices[name] && value != defaults[name] {
			t.Errorf("%s: %s is no default: that is %s", name, value, defaults[name])
		}
	}
}

// TestManualPage checks that the page has every setting once.
func TestManualPage(t *testing.T) {
	page := usage.ManPage(newCommandLine(config.File{}, &bytes.Buffer{}).app.Model())
	for _, d := range config.Describe() {
		name := strings.ReplaceAll("--"+d.Name, "-", `\-`)
		if got := strings.Count(page, `.BR "`+name+`"`) + strings.Count(page, `.BR "`+name+` *"`); got != 1 {
			t.Errorf("the setting %s stands in it %d times, want 1", d.Name, got)
		}
	}
	if strings.Contains(page, "SS man") {
		t.Error("it mentions the verb that packages use")
	}
}
