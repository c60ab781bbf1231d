package main

import (
	"slices"
	"strings"
	"testing"
)

// TestExecTelemetry has the SDK's telemetry be asked for: without, the SDK has
// nothing to print.
func TestExecTelemetry(t *testing.T) {
	for _, csm := range []bool{false, true} {
		args := []string{"exec", "--summary=none", "--", "env"}
		if csm {
			args = slices.Insert(args, 1, "--csm")
		}
		code, out, errOut := command(t, "", args...)
		if code != exitOK || !strings.Contains(out, "HTTP_PROXY=") {
			t.Fatalf("exit code %d: %s%s", code, out, errOut)
		}
		if strings.Contains(out, "AWS_CSM_ENABLED=true\n") != csm || strings.Contains(out, "AWS_CSM_PORT=") != csm {
			t.Errorf("--csm %t:\n%s", csm, out)
		}
	}
}
