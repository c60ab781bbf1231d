package main

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

// printJSON prints a value as one line of JSON.
func printJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// field is a text with its name.
type field struct {
	name, text string
	wrap       bool
}

// value returns a field with a value such as a code or a URL, which is not wrapped.
func value(name, text string) field { return field{name, text, false} }

// prose returns a field with sentences, which are wrapped on a terminal.
func prose(name, text string) field { return field{name, text, true} }

// printFields prints fields in two columns, without those that have no text.
func printFields(out io.Writer, fields ...field) error {
	column, width := 0, terminalWidth(out)
	for _, f := range fields {
		if f.text != "" {
			column = max(column, text.StringWidthWithoutEscSequences(f.name)+columnGap)
		}
	}
	var b strings.Builder
	for _, f := range fields {
		if f.text == "" {
			continue
		}
		if width > 0 && f.wrap {
			f.text = text.WrapSoft(f.text, max(minText, width-column))
		}
		for line := range strings.SplitSeq(f.text, "\n") {
			b.WriteString(text.Pad(f.name, column, ' ') + strings.TrimRight(line, " ") + "\n")
			f.name = ""
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// terminalWidth returns the width of a terminal in columns; 0 if out is none.
func terminalWidth(out io.Writer) (width int) {
	if f, ok := direct(out).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		width, _, _ = term.GetSize(int(f.Fd()))
	}
	return width
}

// plural returns a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// orDash returns s, or a dash if it is empty.
func orDash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

// orEmpty returns n, or "" for 0.
func orEmpty(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
