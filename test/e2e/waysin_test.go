//go:build e2e

package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// wayInRow is the beginning of a row of the table: a link to the way's section,
// and what distinguishes it from another way of the same section.
var wayInRow = regexp.MustCompile(`(?m)^\| \[([^]]+)\]\(#[^)]+\)(, HTTPS?)?`)

// TestEveryWayInIsTested compares the table of docs/ways-in.md with the tests:
// each row has one.
func TestEveryWayInIsTested(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ dir, name string }{
		"a command":            {".", "TestExec"},
		"forward proxy, HTTP":  {".", "TestForwardProxy"},
		"forward proxy, HTTPS": {".", "TestForwardProxy"},
		"real host name":       {".", "TestHostsFile"},
		"transparent":          {".", "TestTransparent"},
		"re-signing address":   {".", "TestResign"},
		"in process":           {"../../collector/transport", "ExampleNew"},
		"SDK telemetry":        {".", "TestSDKTelemetry"},
	}
	page := testfile.Read(t, "../../docs/ways-in.md")
	for _, row := range wayInRow.FindAllStringSubmatch(string(page), -1) {
		way := row[1] + row[2]
		test, ok := tests[way]
		if !ok {
			t.Errorf("no test is known for the way in %q", way)
			continue
		}
		delete(tests, way)
		assert.True(t, hasFunc(t, test.dir, test.name), "%s: there is no %s in %s", way, test.name, test.dir)
	}
	for way := range tests {
		t.Errorf("the way in %q is tested but not in the table", way)
	}
}

// hasFunc reports whether a directory's tests have a function of that name.
func hasFunc(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		text := testfile.Read(t, file)
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
