package nearest_test

import (
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/nearest"
)

func TestOf(t *testing.T) {
	words := []string{"category", "code", "outcome", "action"}
	for _, tt := range []struct{ word, want string }{
		{"codes", "code"},
		{"catgory", "category"},
		{"outcom", "outcome"},
		{"code", "code"},
		{"x", ""},
		{"", ""},
		{"error_code_of_the_call", ""},
	} {
		if got, ok := nearest.Of(tt.word, words); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: %q, want %q", tt.word, got, tt.want)
		}
	}
	if _, ok := nearest.Of("code", nil); ok {
		t.Error("found a word among none")
	}
}
