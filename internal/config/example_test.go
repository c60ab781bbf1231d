package config

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const sample = "../../docs/ksyun-tap.example.yml"

// notSet is a line of a setting that the sample file does not set.
var notSet = regexp.MustCompile(`(?m)^( *)#([a-z])`)

// TestSampleFile loads the sample settings as they are, and with every setting
// set. They name all settings, with their defaults.
func TestSampleFile(t *testing.T) {
	if _, err := Load(sample); err != nil {
		t.Fatal(err)
	}
	text := testfile.Read(t, sample)
	all, err := parse(sample, notSet.ReplaceAll(text, []byte("$1$2")))
	require.NoError(t, err)
	read(t, all)
	for _, d := range Describe() {
		if d.Name == "config.file" {
			continue // the file itself
		}
		values, ok := all.values[d.Name]
		assert.True(t, ok, "%s is not in %s", d.Name, sample)
		if d.Default != "" && !slices.Equal(values, strings.Split(d.Default, ",")) {
			t.Errorf("%s: %s has %q, the default is %q", d.Name, sample, values, d.Default)
		}
	}
}
