package main

import (
	"strings"
	"testing"
)

// TestSampleFileIsGood has check-config check the sample settings, on addresses
// that are free.
func TestSampleFileIsGood(t *testing.T) {
	clearEnvironment(t)
	code, out, errOut := command(t, "", "check-config", "--config.file=../../docs/ksyun-tap.example.yml",
		"--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0")
	if code != exitOK || errOut != "" || strings.Contains(out, "warning") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
}
