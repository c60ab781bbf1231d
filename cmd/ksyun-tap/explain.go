package main

import (
	"context"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/explain"
)

// explainVerb prints the catalogue's entry for an error code, a fault, or each code
// that an HTTP status comes with, or the description of a cause.
type explainVerb struct {
	code     string
	output   string
	catalogs []string
}

func newExplain(app *kingpin.Application) *explainVerb {
	v := &explainVerb{}
	c := app.Command("explain", "Print what an error code, a fault, an HTTP status or the cause of a diagnosis means, who must fix it and how. Without an argument, list all codes.")
	c.Arg("code", "Error code, in any case; fault, such as dns; HTTP status, such as 409, for the codes that come with it; or cause.").StringVar(&v.code)
	c.Flag("output", "Format: text or json.").Default("text").SetValue(config.OneOf(&v.output, "text", "json"))
	c.Flag("tap.catalog-file", "File with additional error codes. Repeatable.").PlaceHolder("FILE").StringsVar(&v.catalogs)
	return v
}

func (v *explainVerb) run(_ context.Context, std stdio) error {
	catalog, err := loadCatalog(v.catalogs)
	if err != nil {
		return usageError{err}
	}
	answer, err := explain.Find(catalog, v.code)
	if err != nil {
		return usageError{err}
	}
	if v.output == "json" {
		return answer.WriteJSON(std.out)
	}
	return answer.WriteText(std.out)
}
