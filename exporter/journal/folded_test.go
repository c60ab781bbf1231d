package journal

import (
	"testing"
)

func TestFolded(t *testing.T) {
	tests := []struct {
		part, s string
		want    bool
	}{
		{"limit", "The LIMIT", true},
		{"LIMIT", "the limi, the limit", true},
		{"limit", "the limi", false},
		{"limit", "", false},
		{"  ", "a b  c", true},
		{"a b", "xA B", true},
		{"5b1f-4C6E", "00000001-5b1f-4c6e-9d2a", true},
		{"e-9", "00000001-5b1f-4c6e-8d2a-e-9", true},
		{"限流", "请求被限流", true},
		{"限流", "请求被限制", false},
		{"被限k", "请求被限K", true},
		{"É", "é", true},
		{"\u212a", "\u212a", true},
		{"s1\u2c65", "\u017f1\u023a", true},
		{"\xff", "\xfe", true},
		{"k", "\u212a", false},
	}
	for _, tt := range tests {
		part := newFolded(tt.part)
		if got := part.in(tt.s); got != tt.want {
			t.Errorf("%q in %q: %v, want %v", tt.part, tt.s, got, tt.want)
		}
	}
}

func FuzzFolded(f *testing.F) {
	for _, s := range [][2]string{{"LimitExceeded", "limitexceeded"}, {"a b", "xA B"}, {"限k", "限K"}, {"s1\u2c65", "\u017f1\u023a"}, {"\xff", "\xfe"}, {" a", "  A"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, part, s string) {
		p := newFolded(part)
		if got, want := p.in(s), p.anywhere(s); got != want {
			t.Errorf("%q in %q: %v, want %v", part, s, got, want)
		}
	})
}
