package main

import (
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// facts prints names and values in two columns. On a terminal, texts are wrapped.
type facts struct {
	out  io.Writer
	rows []fact
}

type fact struct {
	name, value string
	text        bool
}

// add adds a value that is not wrapped, such as a URL. It is omitted if it is empty.
func (f *facts) add(name, value string) { f.rows = append(f.rows, fact{name, value, false}) }

// text adds a text. It is omitted if it is empty.
func (f *facts) text(name, value string) { f.rows = append(f.rows, fact{name, value, true}) }

// flush writes what was added.
func (f *facts) flush() error {
	column := 0
	for _, r := range f.rows {
		if r.value != "" {
			column = max(column, text.StringWidthWithoutEscSequences(r.name)+columnGap)
		}
	}
	var b strings.Builder
	width := terminalWidth(f.out)
	for _, r := range f.rows {
		if r.value == "" {
			continue
		}
		if r.text && width > 0 {
			r.value = text.WrapSoft(r.value, max(minText, width-column))
		}
		for line := range strings.SplitSeq(r.value, "\n") {
			b.WriteString(text.Pad(r.name, column, ' ') + strings.TrimRight(line, " ") + "\n")
			r.name = ""
		}
	}
	f.rows = nil
	_, err := io.WriteString(f.out, b.String())
	return err
}

// terminalWidth returns the width of a terminal in columns; 0 if out is none.
func terminalWidth(out io.Writer) (width int) {
	if f, ok := direct(out).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		width, _, _ = term.GetSize(int(f.Fd()))
	}
	return width
}
