package usererror_test

import (
	"testing"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

func TestNearest(t *testing.T) {
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
		if got, ok := usererror.Nearest(tt.word, words); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: %q, want %q", tt.word, got, tt.want)
		}
	}
	if _, ok := usererror.Nearest("code", nil); ok {
		t.Error("found a word among none")
	}
}
