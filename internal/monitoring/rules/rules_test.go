package rules

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../../.."

// TestValuesExist checks that the tap has the label values that rules select by.
func TestValuesExist(t *testing.T) {
	values := map[string][]string{
		"category": {"auth", "clock", "permission", "throttled", "request", "not_found", "too_large", "server", "timeout", "network", "unknown"}, "outcome": {"success", "dry_run", "canceled", "masked", "partial"},
		"blame": {"provider", "network", "client"}, "reason": {"untrusted_ca", "loop", "sampled", "shutdown", "exhausted"},
	}
	code := readAll(t, filepath.Join(root, "classify", "verdict.go"), filepath.Join(root, "classify", "observation.go"), filepath.Join(root, "collector", "intercept.go"), filepath.Join(root, "cmd", "ksyun-tap", "collectors.go"),
		filepath.Join(root, "exporter", "logs", "writer.go"))
	for label, all := range values {
		for _, v := range all {
			assert.Contains(t, code, `"`+v+`"`, "%s=%s is in no code", label, v)
		}
	}
	matcher := regexp.MustCompile(`(category|outcome|blame|reason)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	for _, g := range Groups() {
		for _, r := range g.Rules {
			for _, m := range matcher.FindAllStringSubmatch(r.Expr, -1) {
				for v := range strings.SplitSeq(m[2], "|") {
					if !slices.Contains(values[m[1]], v) {
						t.Errorf("%s%s: %s=%s is not checked against the code", r.Record, r.Alert, m[1], v)
					}
				}
			}
		}
	}
}

// TestEachAlertIsWhole checks that each alert has its texts and runbook, and that
// its promtool test has a series that fires it, one that nearly does, one that
// does not, and the end of the alert.
func TestEachAlertIsWhole(t *testing.T) {
	var names []string
	for _, r := range Alerts() {
		names = append(names, r.Alert)
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Labels["blame"] == "" || r.For == "" {
			t.Errorf("%s: labels %v, for %q", r.Alert, r.Labels, r.For)
		}
		if !strings.HasSuffix(r.Summary, ".") || strings.Contains(r.Summary, "{{") || r.Alert != "KsyunTapAbsent" && !strings.Contains(r.Description, "{{") {
			t.Errorf("%s: summary %q, description %q", r.Alert, r.Summary, r.Description)
		}
		if r.SummaryZH == "" || strings.HasPrefix(r.Alert, "KsyunApi") != (r.Calls != "") {
			t.Errorf("%s: no Chinese summary, or no query for its calls", r.Alert)
		}
		assert.NotEqual(t, r.Advice.IsZero(), strings.HasPrefix(r.Alert, "KsyunApi"), "%s: advice %v", r.Alert, r.Advice)
		book := readAll(t, filepath.Join(root, "docs", "runbooks", r.Alert+".md"))
		for _, part := range []string{"# " + r.Alert + "\n", "\n## Impact\n", "\n## See which calls\n", "\n## What to do\n", "\n## Resolved when\n"} {
			assert.Contains(t, book, part, "the runbook of %s has no", r.Alert)
		}
		file := r.Alert
		if w := r.Labels["window"]; w != "" {
			file += "." + w
		}
		test := readAll(t, filepath.Join(root, "deploy", "prometheus", "tests", file+".yaml"))
		if !strings.Contains(test, `alertname="`+r.Alert+`"`) || !strings.Contains(test, "exp_samples: []") || !strings.Contains(test, "value: 1") ||
			r.Alert != "KsyunTapAbsent" && strings.Count(test, `job="`) < 3 {
			t.Errorf("the test of %s lacks a part", file)
		}
	}
	books, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "*.md"))
	require.NoError(t, err)
	for _, b := range books {
		assert.Contains(t, names, strings.TrimSuffix(filepath.Base(b), ".md"), "%s is of no alert", b)
	}
}

// TestWrittenAsCommitted compares the committed files with the source.
func TestWrittenAsCommitted(t *testing.T) {
	rules, err := YAML()
	require.NoError(t, err)
	if !bytes.Equal(rules, []byte(readAll(t, filepath.Join(root, "deploy/prometheus/rules.yaml")))) {
		t.Error("rules.yaml is not what make generate writes")
	}
	// The operator's resource has the same groups.
	var plain fileYAML
	var crd crdYAML
	for text, into := range map[string]any{"rules.yaml": &plain, "prometheusrule.yaml": &crd} {
		dec := yaml.NewDecoder(strings.NewReader(readAll(t, filepath.Join(root, "deploy/prometheus", text))))
		dec.KnownFields(true)
		assert.NoError(t, dec.Decode(into), text)
	}
	a, errA := encode(plain)
	b, errB := encode(crd.Spec)
	if errA != nil || errB != nil || !bytes.Equal(a, b) || len(plain.Groups) == 0 {
		t.Errorf("the PrometheusRule holds other rules: %v, %v", errA, errB)
	}
}

func TestThresholdsAreUsed(t *testing.T) {
	var all strings.Builder
	for _, g := range Groups() {
		for _, r := range g.Rules {
			all.WriteString(r.Expr)
			for _, text := range r.annotations() {
				all.WriteString(text)
			}
		}
	}
	for _, th := range thresholds {
		assert.Contains(t, all.String(), "%("+th.Name+")s", "%s is not used", th.Name)
	}
}

func readAll(t *testing.T, names ...string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		assert.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}
