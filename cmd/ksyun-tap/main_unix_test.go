//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWebConfigIsAPipe names a file that would have to be read again.
func TestWebConfigIsAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	code, _, errOut := command(t, "", "check-config", "--web.config.file="+pipe)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errOut, pipe+": not a regular file")
	assert.Regexp(t, usageForm, errOut)
}
