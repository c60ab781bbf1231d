package memory

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnmodified(t *testing.T) {
	f, err := os.Open("testdata/smaps.txt")
	require.NoError(t, err)
	defer f.Close()
	got := unmodified(f, "/usr/bin/ksyun-tap")
	want := []mapping{{0x400000, 0xe0a000}, {0xe0a000, 0x1929000}}
	assert.Equal(t, want, got)
}

// TestUnmapProgram checks that the program works on after its pages were unmapped, and
// that they were.
func TestUnmapProgram(t *testing.T) {
	before := resident(t)
	unmapProgram()
	after := resident(t)
	assert.Less(t, after, before, "%d KiB of the program file were resident, and %d KiB are", before, after)
}

// resident returns how much of the program file is resident, in KiB.
func resident(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			for _, c := range strings.TrimSpace(value) {
				if c < '0' || c > '9' {
					break
				}
				kib = 10*kib + int(c-'0')
			}
			return kib
		}
	}
	t.Fatal("no RssFile")
	return 0
}
