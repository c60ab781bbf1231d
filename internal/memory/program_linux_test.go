package memory

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUnmodified(t *testing.T) {
	f, err := os.Open("testdata/smaps.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := unmodified(f, "/usr/bin/ksyun-tap")
	want := []mapping{{0x400000, 0xe0a000}, {0xe0a000, 0x1929000}}
	if !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestUnmapProgram checks that the program works on after its pages were unmapped, and
// that they were.
func TestUnmapProgram(t *testing.T) {
	before := resident(t)
	unmapProgram()
	if after := resident(t); after >= before {
		t.Errorf("%d KiB of the program file were resident, and %d KiB are", before, after)
	}
}

// resident returns how much of the program file is resident, in KiB.
func resident(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
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
