package printable_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

func TestEscape(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "a message, with marks: é 中文 😀", "a message, with marks: é 中文 😀"},
		{"lines", "a\tb\r\nc", "a\tb\r\nc"},
		{"escape", "\x1b[31mred", `\u001b[31mred`},
		{"delete", "a\x7f", `a\u007f`},
		{"C1", "\u0080\u009b31m\u009f\u00a0", `\u0080\u009b31m\u009f` + "\u00a0"},
		{"bidirectional", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069", `\u061c\u200e\u200f\u202a\u202e\u2066\u2069`},
		{"line separators", "a\u2028b\u2029", `a\u2028b\u2029`},
		{"not UTF-8", "a\x9bb", "a\ufffdb"},
		{"replacement character", "\ufffd", "\ufffd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, printable.Escape(tt.text))
		})
	}
}

// TestEscapeKeepsJSON checks that escaped JSON says the same.
func TestEscapeKeepsJSON(t *testing.T) {
	const text = "a\u009bb\u202ec"
	line, err := json.Marshal(text)
	require.NoError(t, err)
	var got string
	if err := json.Unmarshal([]byte(printable.Escape(string(line))), &got); err != nil || got != text {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWords checks that eight bytes at once are read as each by itself is.
func TestWords(t *testing.T) {
	for c := range 256 {
		for place := range 24 {
			text := []byte("abcdefgh ijklmno~ABCDEFG")
			text[place] = byte(c)
			plain := c >= ' ' && c < 0x7f || c == '\t' || c == '\n' || c == '\r'
			assert.Equal(t, plain, printable.Escape(string(text)) == string(text), "byte %#x at %d: unchanged", c, place)
		}
	}
}
