// Package output writes what commands print: tables and lists of fields, fitted to the
// terminal, and lines of JSON.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// JSON writes a value as one line of JSON.
func JSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// Field is a text with its name.
type Field struct {
	name, text string
	wrap       bool
}

// Value returns a field with a value such as a code or a URL, which is not wrapped.
func Value(name, text string) Field { return Field{name, text, false} }

// Prose returns a field with sentences, which are wrapped on a terminal.
func Prose(name, text string) Field { return Field{name, text, true} }

// Fields writes fields in two columns, without those that have no text.
func Fields(out io.Writer, fields ...Field) error {
	column, width := 0, Width(out)
	for _, f := range fields {
		if f.text != "" {
			column = max(column, text.StringWidthWithoutEscSequences(f.name)+columnGap)
		}
	}
	var b strings.Builder
	for _, f := range fields {
		switch {
		case f.text == "":
		case f.wrap:
			indent(&b, f.name, f.text, column, width)
		default:
			indent(&b, f.name, f.text, column, 0)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// minText is the smallest width to which texts are wrapped.
const minText = 20

// indent writes lines of text that begin at a column, with a label before the first.
// They are wrapped to the width of the terminal, unless it is 0.
func indent(b *strings.Builder, label, s string, column, width int) {
	if width > 0 {
		s = text.WrapSoft(s, max(minText, width-column))
	}
	for line := range strings.SplitSeq(s, "\n") {
		b.WriteString(text.Pad(label, column, ' ') + strings.TrimRight(line, " ") + "\n")
		label = ""
	}
}

// Plural returns a count with its noun.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// OrDash returns s, or a dash if it is empty.
func OrDash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

// OrEmpty returns n, or "" for 0.
func OrEmpty(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// IsTerminal reports whether out is a terminal.
func IsTerminal(out io.Writer) bool {
	f, ok := Direct(out).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the width of a terminal in columns; 0 if out is none.
func Width(out io.Writer) (width int) {
	if IsTerminal(out) {
		width, _, _ = term.GetSize(int(Direct(out).(*os.File).Fd()))
	}
	return width
}
