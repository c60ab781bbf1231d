//go:build unix

package structural

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFindAtPageEnd finds in texts behind which no memory can be read.
func TestFindAtPageEnd(t *testing.T) {
	page := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mprotect(memory[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	text := memory[:page]
	copy(text, bytes.Repeat([]byte(`{"a\"":[1,"}"]},`), page/16))
	for n := range 5 * BlockSize {
		check(t, text[page-n:])
	}
}
