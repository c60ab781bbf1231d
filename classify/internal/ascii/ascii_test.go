package ascii

import (
	"strings"
	"testing"
)

// TestEveryByte compares with package strings, which agrees on ASCII.
func TestEveryByte(t *testing.T) {
	for c := range 256 {
		b := byte(c)
		want := b
		if c < 0x80 {
			want = strings.ToLower(string(rune(c)))[0]
		}
		if got := Lower(b); got != want {
			t.Errorf("Lower(%#x) = %#x", b, got)
		}
		text := []byte{'A', b, 'z'}
		if got := ToLower(string(text)); got != string([]byte{'a', want, 'z'}) {
			t.Errorf("ToLower(%q) = %q", text, got)
		}
		if got := AppendLower([]byte("A"), text); string(got) != string([]byte{'A', 'a', want, 'z'}) {
			t.Errorf("AppendLower(A, %q) = %q", text, got)
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, tt := range []struct {
		text, name string
		want       bool
	}{
		{"", "", true},
		{"Region", "region", true},
		{"REGION", "region", true},
		{"regio", "region", false},
		{"regions", "region", false},
		{"request_id", "request-id", false},
		{"@", "`", false}, // as far apart as A and a
		{"to\u212aen", "token", false},
	} {
		if got := EqualFold(tt.text, tt.name); got != tt.want {
			t.Errorf("EqualFold(%q, %q) = %t", tt.text, tt.name, got)
		}
		if got := EqualFold([]byte(tt.text), tt.name); got != tt.want {
			t.Errorf("EqualFold of the bytes %q with %q = %t", tt.text, tt.name, got)
		}
	}
}
