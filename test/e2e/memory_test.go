//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIdleTapReturnsMemory waits until a tap that does nothing has unmapped most of its
// code, after its start and after a reload.
func TestIdleTapReturnsMemory(t *testing.T) {
	tap := startTap(t, nil)
	idle := func() {
		t.Helper()
		eventually(t, "less than a third of the code is resident", func() bool {
			size, resident := code(t, tap.cmd.Process.Pid)
			return resident < size/3
		})
	}
	idle()
	status, body := reload(t, tap.admin)
	require.Equal(t, 200, status, "reload: %d %s", status, body)
	idle()
}

// code returns the size of a process's code from its program file, and how much of it
// is resident, in KiB.
func code(t *testing.T, pid int) (size, resident int) {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(smaps), " r-xp ")
	require.True(t, ok, "no code in\n%s", smaps)
	for line := range strings.Lines(after) {
		if n, err := fmt.Sscanf(line, "Size: %d kB", &size); n == 1 && err == nil {
			continue
		}
		if n, err := fmt.Sscanf(line, "Rss: %d kB", &resident); n == 1 && err == nil {
			return size, resident
		}
	}
	t.Fatalf("no Rss in\n%s", smaps)
	return 0, 0
}
