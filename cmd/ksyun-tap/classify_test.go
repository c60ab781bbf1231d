package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestClassifyOtherDataAmongResponses checks that the other files are read.
func TestClassifyOtherDataAmongResponses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": `{"requestId":"a"}`, "b": "", "c": `{"requestId":"c"}`} {
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	code, out, errOut := command(t, "", "classify", filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c"))
	if code != exitNotResponse || strings.Count(out, "\n") != 2 || !strings.Contains(errOut, filepath.Join(dir, "b")) {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
}
