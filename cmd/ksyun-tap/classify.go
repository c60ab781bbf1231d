package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/responses"
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
	c.Flag("output", "Format: json (one line per response), table, text, or auto: text on a terminal, otherwise json.").Default("auto").SetValue(config.OneOf(&v.output, responses.Formats()...))
	c.Flag("tap.catalog-file", "File with additional error codes. Repeatable.").PlaceHolder("FILE").StringsVar(&v.catalogs)
	return v
}

func (v *classifyVerb) run(_ context.Context, std stdio) error {
	catalog, err := loadCatalog(v.catalogs)
	if err != nil {
		return usageError{err}
	}
	reader := &responses.Reader{Classifier: classify.New(catalog), Status: v.status, Fields: v.headers, Action: v.action}
	files := v.files
	if len(files) == 0 {
		files = []string{"-"}
	}
	p := responses.NewPrinter(std.out, v.output)
	others := 0
	for _, name := range files {
		data, err := readSaved(name, std.in)
		if err != nil {
			return usageError{err}
		}
		r, err := reader.Read(name, data)
		if err != nil {
			others++
			fmt.Fprintln(std.err, "ksyun-tap:", err)
			continue
		}
		if err := p.Print(r); err != nil {
			return err
		}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	if others > 0 {
		return exitError{code: exitNotResponse}
	}
	return nil
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
