package output

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Table writes rows with columns of equal width, and texts below each row. On a
// terminal, it omits columns that have no room, wraps the texts and uses colours.
type Table struct {
	out     io.Writer
	now     time.Time
	width   int // of the terminal, in columns; 0 if the output is no terminal
	colours bool
	head    []string
	headed  bool
	widths  []int // of the columns
	rows    []row
}

type row struct {
	cells  []string
	colour text.Color
	texts  []string
}

// expendable lists the columns to omit on a narrow terminal, the first first.
var expendable = []string{"BLAME", "REGION", "CATEGORY", "STATUS", "LAST SEEN", "LAST"}

const (
	columnGap = 2
	textGap   = 4 // indentation of the texts
)

// NewTable returns a table that is written to out. now determines which times are
// of another day.
func NewTable(out io.Writer, now time.Time, head ...string) *Table {
	t := &Table{out: out, now: now, width: Width(out), head: head, widths: make([]int, len(head))}
	t.colours = t.width > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	for i, name := range head {
		t.widths[i] = len(name)
	}
	return t
}

// Time formats a local time with milliseconds, and its date if it is of another day.
func (t *Table) Time(at time.Time) string {
	at = at.In(t.now.Location())
	if at.Format(time.DateOnly) == t.now.Format(time.DateOnly) {
		return at.Format("15:04:05.000")
	}
	return at.Format("2006-01-02 15:04:05.000")
}

// Add adds a row in the colour of blame, with texts below it. Empty ones are omitted.
func (t *Table) Add(blame classify.Blame, texts []string, cells ...string) {
	colour := text.FgYellow
	switch blame {
	case classify.BlameProvider, classify.BlameNetwork, classify.BlameTap:
		colour = text.FgRed
	case classify.BlameClient, classify.BlameCredential, classify.BlameQuota, "":
	}
	for i, c := range cells {
		t.widths[i] = max(t.widths[i], text.StringWidthWithoutEscSequences(c))
	}
	t.rows = append(t.rows, row{cells, colour, texts})
}

// Flush writes the rows that were added since the last flush.
func (t *Table) Flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	var b strings.Builder
	shown := t.shown()
	if !t.headed {
		t.headed = true
		b.WriteString(t.line(t.head, shown, text.Reset) + "\n")
	}
	for _, r := range t.rows {
		b.WriteString(t.line(r.cells, shown, r.colour) + "\n")
		for _, s := range r.texts {
			if s = strings.Join(strings.Fields(s), " "); s != "" {
				indent(&b, "", s, textGap, t.width)
			}
		}
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.out, b.String())
	return err
}

// shown reports for each column whether there is room for it.
func (t *Table) shown() []bool {
	shown := make([]bool, len(t.head))
	total := -columnGap
	for i := range t.head {
		shown[i] = true
		total += t.widths[i] + columnGap
	}
	for _, name := range expendable {
		if t.width == 0 || total <= t.width {
			break
		}
		for i, h := range t.head {
			if h == name {
				shown[i] = false
				total -= t.widths[i] + columnGap
			}
		}
	}
	return shown
}

// line formats one line. The code, which is what readers look for, is coloured.
func (t *Table) line(cells []string, shown []bool, colour text.Color) string {
	var b strings.Builder
	for i, c := range cells {
		if !shown[i] {
			continue
		}
		padded := text.Pad(c, t.widths[i]+columnGap, ' ')
		if t.colours && colour != text.Reset && t.head[i] == "CODE" {
			// The library has a switch of its own for colours, which is not ours.
			padded = fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, padded)
		}
		b.WriteString(padded)
	}
	return strings.TrimRight(b.String(), " ")
}
