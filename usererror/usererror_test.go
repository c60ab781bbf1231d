package usererror

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestForms(t *testing.T) {
	cause := New(`"x" is not a number`, "write 1 to 9")
	tests := map[string]struct {
		err           error
		text, printed string
	}{
		"no place": {cause, `"x" is not a number: write 1 to 9`, "tap: \"x\" is not a number\n  hint: write 1 to 9\n"},
		"a place":  {At("--size", cause), `--size: "x" is not a number: write 1 to 9`, "tap: --size: \"x\" is not a number\n  hint: write 1 to 9\n"},
		"two":      {At("a.yaml:1", At("size", cause)), `a.yaml:1: size: "x" is not a number: write 1 to 9`, "tap: a.yaml:1: size: \"x\" is not a number\n  hint: write 1 to 9\n"},
		"no hint":  {At("a.yaml", fs.ErrNotExist), "a.yaml: file does not exist", "tap: a.yaml: file does not exist\n"},
		"wrapped": {
			fmt.Errorf("open CA: %w", At("dir", cause)), `open CA: dir: "x" is not a number: write 1 to 9`,
			"tap: open CA: dir: \"x\" is not a number\n  hint: write 1 to 9\n",
		},
		"a place around text": {
			At("--dir", fmt.Errorf("open CA: %w", cause)), `--dir: open CA: "x" is not a number: write 1 to 9`,
			"tap: --dir: open CA: \"x\" is not a number\n  hint: write 1 to 9\n",
		},
		"a hint on an error": {Wrap(fs.ErrNotExist, "create it"), "file does not exist: create it", "tap: file does not exist\n  hint: create it\n"},
		"joined": {
			errors.Join(At("a", cause), nil, fs.ErrExist), "a: \"x\" is not a number: write 1 to 9\nfile already exists",
			"tap: a: \"x\" is not a number\n  hint: write 1 to 9\ntap: file already exists\n",
		},
		"two causes": {fmt.Errorf("%w: %w", fs.ErrExist, cause), `file already exists: "x" is not a number: write 1 to 9`, "tap: file already exists: \"x\" is not a number\n  hint: write 1 to 9\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.err.Error() != tt.text {
				t.Errorf("text %q, want %q", tt.err, tt.text)
			}
			var b strings.Builder
			if Print(&b, "tap", tt.err); b.String() != tt.printed {
				t.Errorf("printed %q, want %q", b.String(), tt.printed)
			}
		})
	}
	if At("x", nil) != nil {
		t.Error("an error was made of none")
	}
	if !errors.Is(At("x", Wrap(fs.ErrNotExist, "create it")), fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if e := At("y", At("x", cause)); cause.Where != "" || e.Error() != "y: x: "+cause.Error() {
		t.Errorf("At changed its argument: %v", cause)
	}
}
