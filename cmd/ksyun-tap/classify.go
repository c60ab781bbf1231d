package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/savedhttp"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// maxSaved is the maximum size of a saved response, in bytes.
const maxSaved = 64 << 20

// classifyVerb classifies saved responses and prints the results.
type classifyVerb struct {
	files    []string
	status   int
	headers  savedhttp.Fields
	action   string
	output   string
	catalogs []string
}

func newClassify(app *kingpin.Application) *classifyVerb {
	v := &classifyVerb{}
	c := app.Command("classify", "Classify saved responses: bodies, or whole HTTP responses as printed by curl -i. Exits with 3 if one of them is not a response of the API.")
	c.Arg("file", "Files to read. Default, and for -: standard input.").StringsVar(&v.files)
	c.Flag("status", "HTTP status of the body (default 200). A whole response has its own.").SetValue(config.Checked(&v.status, strconv.Atoi, func(n int) bool { return 100 <= n && n <= 999 }, "is not an HTTP status", "write 100 to 999"))
	c.Flag("header", "Header field of the response, as NAME: VALUE. Repeatable.").PlaceHolder("NAME: VALUE").SetValue(config.List((*[]savedhttp.Field)(&v.headers), parseField))
	c.Flag("action", "Action of the call, for responses whose meaning depends on it.").StringVar(&v.action)
	c.Flag("output", "Format: json (one line per response), table, text, or auto: text on a terminal, otherwise json.").Default("auto").SetValue(config.OneOf(&v.output, "auto", "json", "table", "text"))
	c.Flag("tap.catalog-file", "File with additional error codes. Repeatable.").PlaceHolder("FILE").StringsVar(&v.catalogs)
	return v
}

// reading is the printed result for one response. Its JSON keys are a public
// interface.
type reading struct {
	File        string            `json:"file"`
	Outcome     classify.Outcome  `json:"outcome"`
	Code        string            `json:"code"`
	Type        classify.Type     `json:"type"`
	Status      int               `json:"status"`
	Category    classify.Category `json:"category"`
	Blame       classify.Blame    `json:"blame"`
	Retryable   bool              `json:"retryable"`
	RequestID   string            `json:"request_id"`
	Message     string            `json:"message"`
	FailedItems int               `json:"failed_items"`
	Meaning     diagnosis.Text    `json:"meaning"`
	Advice      diagnosis.Advice  `json:"advice"`
	Unread      classify.Unread   `json:"unread"`
}

func (v *classifyVerb) run(_ context.Context, std stdio) error {
	catalog, err := loadCatalog(v.catalogs)
	if err != nil {
		return usageError{err}
	}
	classifier := classify.New(catalog)
	files := v.files
	if len(files) == 0 {
		files = []string{"-"}
	}
	print, flush := v.printer(std.out)
	others := 0
	for _, name := range files {
		data, err := readSaved(name, std.in)
		if err != nil {
			return usageError{err}
		}
		r, err := v.read(classifier, name, data)
		if err != nil {
			others++
			fmt.Fprintln(std.err, "ksyun-tap:", err)
			continue
		}
		if err := print(r); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if others > 0 {
		return exitError{code: exitNotResponse}
	}
	return nil
}

// read classifies one saved response. It returns an error for data without a
// status that cannot be the body of a response of the API.
func (v *classifyVerb) read(c *classify.Classifier, name string, data []byte) (reading, error) {
	whole := savedhttp.ParseResponse(data)
	response := whole
	if whole == nil {
		response = &savedhttp.Response{Status: cmp.Or(v.status, http.StatusOK), Body: data}
	}
	verdict := c.Response(&classify.Call{Action: v.action}, &classify.Response{
		Status: response.Status, Header: append(response.Fields, v.headers...), Body: response.Body,
	})
	if whole == nil && v.status == 0 {
		if look := notResponse(&verdict, data); look != "" {
			return reading{}, usererror.New(name+" is not a response of the API: it is "+look, "if it is the body of one, set --status")
		}
	}
	verdict.Scrub(nil)
	r := reading{
		File:        name,
		Outcome:     verdict.Outcome,
		Code:        verdict.Code,
		Type:        verdict.Type,
		Status:      verdict.Status,
		Category:    verdict.Category,
		Blame:       verdict.Blame,
		Retryable:   verdict.Retryable,
		RequestID:   verdict.RequestID.String(),
		Message:     verdict.Message,
		FailedItems: verdict.FailedItems,
		Unread:      verdict.Unread,
	}
	if verdict.Entry != nil {
		r.Meaning = verdict.Entry.Meaning
	}
	r.Advice = diagnosis.ForAttempt(&classify.Observation{Call: classify.Call{Action: v.action}, Verdict: verdict})
	return r, nil
}

// notResponse describes data that is not the body of a response of the API. It returns
// "" if it may be one.
func notResponse(v *classify.Verdict, data []byte) string {
	broken := false
	switch v.Form {
	case classify.FormEmpty:
		return "empty"
	case classify.FormText:
		return "text without a status line"
	case classify.FormBinary:
		return "binary data"
	case classify.FormJSON:
		broken = bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) && !json.Valid(data)
	case classify.FormXML:
		d := xml.NewDecoder(bytes.NewReader(data))
		d.Strict = false
		for token, err := d.Token(); ; token, err = d.Token() {
			if _, ok := token.(xml.StartElement); ok {
				break
			}
			if broken = err != nil; broken {
				break
			}
		}
	case classify.FormHTML:
	}
	// A saved response may be cut off and still contain an error.
	if broken && v.Outcome == classify.OutcomeSuccess && v.Code == "" && v.RequestID.IsZero() {
		return "neither JSON nor XML"
	}
	return ""
}

func readSaved(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSaved+1))
	switch {
	case err != nil:
		return nil, err // with the name
	case len(data) > maxSaved:
		return nil, usererror.New(fmt.Sprintf("%s is larger than %d MiB", name, maxSaved>>20), "name a saved response")
	}
	return data, nil
}

// parseField parses a header field.
func parseField(line string) (savedhttp.Field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || strings.TrimSpace(name) == "" {
		return savedhttp.Field{}, usererror.New(strconv.Quote(line)+" is not a header field", "write NAME: VALUE")
	}
	return savedhttp.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}, nil
}

// printer returns a function that prints a reading, and one that ends the output.
func (v *classifyVerb) printer(out io.Writer) (print func(reading) error, flush func() error) {
	nothing := func() error { return nil }
	switch {
	case v.output == "table":
		w, head := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0), "FILE\tOUTCOME\tSTATUS\tCODE\tTYPE\tCATEGORY\tBLAME\tRETRY\tREQUEST ID\tMESSAGE\n"
		return func(r reading) error {
			_, err := fmt.Fprintf(w, "%s%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", head, r.File, r.Outcome, r.Status,
				output.OrDash(r.Code), r.Type, output.OrDash(r.Category), output.OrDash(r.Blame), output.OrDash(r.Advice.Retry), output.OrDash(r.RequestID), r.Message)
			head = ""
			return err
		}, w.Flush
	case v.output == "text", v.output == "auto" && output.IsTerminal(out):
		separator := ""
		return func(r reading) error {
			fmt.Fprint(out, separator)
			separator = "\n"
			return r.print(out)
		}, nothing
	}
	return func(r reading) error { return output.JSON(out, r) }, nothing
}

// print prints the reading as text.
func (r reading) print(out io.Writer) error {
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

// loadCatalog returns the built-in catalogue, extended by the user's files.
func loadCatalog(files []string) (*classify.Catalog, error) {
	catalog := classify.DefaultCatalog()
	for _, name := range files {
		data, err := config.ReadFile(name)
		if err != nil {
			return nil, usererror.At("--tap.catalog-file", usererror.Wrap(err, "name a file that this user can read"))
		}
		if catalog, err = catalog.Extend(name, data); err != nil {
			return nil, err
		}
	}
	return catalog, nil
}
