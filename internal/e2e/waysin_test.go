//go:build e2e

package e2e

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryWayInIsTested holds the README's table of ways in against the tests:
// each row has one, by the beginning of the row.
func TestEveryWayInIsTested(t *testing.T) {
	tests := map[string]struct{ dir, name string }{
		"a command":                         {".", "TestExec"},
		"forward proxy, HTTP:":              {".", "TestForwardProxy"},
		"forward proxy, HTTPS":              {".", "TestForwardProxy"},
		"reverse, under the real host name": {".", "TestHostsFile"},
		"transparent":                       {".", "TestTransparent"},
		"own address":                       {".", "TestResign"},
		"in process":                        {"../../collector", "ExampleTransport"},
		"SDK telemetry":                     {".", "TestSDKTelemetry"},
	}
	readme, err := os.Open("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer readme.Close()
	in, rows := false, 0
	for lines := bufio.NewScanner(readme); lines.Scan(); {
		cells := strings.Split(lines.Text(), "|")
		switch {
		case len(cells) < 4:
			in = false
			continue
		case strings.TrimSpace(cells[1]) == "way in":
			in = true
			continue
		case !in || strings.HasPrefix(cells[1], "-"):
			continue
		}
		rows++
		row := strings.TrimSpace(cells[1]) + ":" // so that "HTTP" does not begin "HTTPS"
		found := false
		for begin, test := range tests {
			if !strings.HasPrefix(row, begin) {
				continue
			}
			found = true
			if !hasFunc(t, test.dir, test.name) {
				t.Errorf("%s: there is no %s in %s", row, test.name, test.dir)
			}
		}
		if !found {
			t.Errorf("no test is known for the way in %q", row)
		}
	}
	if rows != len(tests) {
		t.Errorf("%d ways in, tests for %d", rows, len(tests))
	}
}

// hasFunc reports whether a directory's tests have a function of that name.
func hasFunc(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
