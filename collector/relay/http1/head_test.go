package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSkipText(t *testing.T) {
	for c := range 256 {
		for before := range 20 {
			for after := range 10 {
				b := []byte(strings.Repeat("\xff", before) + string([]byte{byte(c)}) + strings.Repeat("~", after) + "\r\n")
				want := len(b) - 2
				if !isText[c] {
					want = before
				}
				for from := range before + 1 {
					require.Equal(t, want, skipText(b, from), "%q from %d", b, from)
				}
			}
		}
	}
}

func TestIsAllTarget(t *testing.T) {
	for c := range 256 {
		for before := range 20 {
			for after := range 10 {
				b := []byte(strings.Repeat("~", before) + string([]byte{byte(c)}) + strings.Repeat("!", after))
				if got := isAllTarget(b); got != isTarget[c] {
					t.Fatalf("%q: %v", b, got)
				}
			}
		}
	}
}

// TestGetByLength checks that fields are found by names of any length.
func TestGetByLength(t *testing.T) {
	for n := 1; n < 200; n++ {
		name := strings.Repeat("n", n)
		head := []byte("GET / HTTP/1.0\r\n" + name + ": v\r\n\r\n")
		var q Request
		if err := q.Parse(head, 0, len(head)); err != nil {
			t.Fatal(err)
		}
		if got := q.Get(strings.ToUpper(name)); string(got) != "v" {
			t.Errorf("%d bytes: %q", n, got)
		}
		for _, other := range []string{name[1:], name + "n", name + strings.Repeat("n", 64), "m" + name[1:]} {
			if got := q.Get(other); got != nil {
				t.Errorf("%q: %q", other, got)
			}
		}
	}
}
