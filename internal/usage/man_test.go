package usage

import "testing"

// TestRoff is of text that the page's language would take for its own.
func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"--flag":         `\-\-flag`,
		`a\b "quoted"`:   `a\eb \(dqquoted\(dq`,
		".TH\n'quote\nx": "\\&.TH\n\\&'quote\nx",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
