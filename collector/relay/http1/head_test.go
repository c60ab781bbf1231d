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
