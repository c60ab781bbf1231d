//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestPipes reads a configuration from a pipe, once.
func TestPipes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	go os.WriteFile(name, []byte("log.level: warn\n"), 0o600)
	f, err := Load(name)
	if err != nil || len(f.values) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	begin := time.Now()
	if err := CheckRereadable("hint", "", name); err == nil || !strings.Contains(err.Error(), name) || time.Since(begin) > readTimeout {
		t.Errorf("%v", err)
	}
	assert.NoError(t, CheckRereadable("hint", "testdata/good.yaml", "testdata/none.yaml"))
}
