package responses

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// Printer prints readings.
type Printer struct {
	out    io.Writer
	format string
	table  *tabwriter.Writer
	begun  bool // a reading was printed
}

// Formats are the formats of NewPrinter.
func Formats() []string { return []string{"auto", "json", "table", "text"} }

// NewPrinter returns a printer in one of Formats: lines of JSON, a table, or text. auto is
// text on a terminal, and otherwise JSON.
func NewPrinter(out io.Writer, format string) *Printer {
	if format == "auto" {
		format = "json"
		if output.IsTerminal(out) {
			format = "text"
		}
	}
	return &Printer{out: out, format: format, table: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)}
}

// Print prints a reading. A table is printed by Flush.
func (p *Printer) Print(r Reading) error {
	first := !p.begun
	p.begun = true
	switch p.format {
	case "table":
		if first {
			fmt.Fprintln(p.table, "FILE\tOUTCOME\tSTATUS\tCODE\tTYPE\tCATEGORY\tBLAME\tRETRY\tREQUEST ID\tMESSAGE")
		}
		_, err := fmt.Fprintf(p.table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.File, r.Outcome, r.Status,
			output.OrDash(r.Code), r.Type, output.OrDash(r.Category), output.OrDash(r.Blame), output.OrDash(r.Advice.Retry), output.OrDash(r.RequestID), r.Message)
		return err
	case "text":
		if !first {
			fmt.Fprintln(p.out)
		}
		return r.print(p.out)
	}
	return output.JSON(p.out, r)
}

// Flush prints what Print has not printed yet.
func (p *Printer) Flush() error { return p.table.Flush() }

// print prints the reading as text.
func (r Reading) print(out io.Writer) error {
	return output.Fields(
		out,
		output.Value("File", r.File),
		output.Value("Outcome", string(r.Outcome)),
		output.Value("HTTP status", strconv.Itoa(r.Status)),
		output.Value("Code", r.Code),
		output.Value("Type", string(r.Type)),
		output.Prose("Message", r.Message),
		output.Prose("Means", r.Meaning.English),
		output.Prose("Do", r.Advice.Text().English),
		output.Value("Category", string(r.Category)),
		output.Value("Blame", string(r.Blame)),
		output.Value("Retry", string(r.Advice.Retry)),
		output.Value("Failed items", output.OrEmpty(r.FailedItems)),
		output.Value("Request ID", r.RequestID),
		output.Value("Not read", string(r.Unread)),
	)
}
