package main

import (
	"context"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/savedhttp"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// doctorVerb reads a saved request and prints why its signature may be refused.
type doctorVerb struct {
	file     string
	body     string
	output   string
	language string
}

func newDoctor(app *kingpin.Application) *doctorVerb {
	v := &doctorVerb{}
	c := app.Command("doctor", "Print why the API may refuse the signature of a saved request. No secret is needed, and none is printed.")
	c.Arg("file", "The request: as on the wire, or what curl -v prints, with its response; standard input without one, or for -.").Default("-").StringVar(&v.file)
	c.Flag("body", "File with the body that was sent, which curl -v does not print.").PlaceHolder("FILE").StringVar(&v.body)
	c.Flag("language", "en or zh.").Default("en").SetValue(config.OneOf(&v.language, "en", "zh"))
	c.Flag("output", "text or json (one line per cause).").Default("text").SetValue(config.OneOf(&v.output, "text", "json"))
	return v
}

func (v *doctorVerb) run(_ context.Context, std stdio) error {
	data, err := readSaved(v.file, std.in)
	if err != nil {
		return usageError{err}
	}
	x, err := savedhttp.Parse(data)
	if err != nil {
		return usageError{usererror.At(v.file, err)}
	}
	q := &x.Request
	if v.body != "" {
		if q.Body, err = readSaved(v.body, std.in); err != nil {
			return usageError{err}
		}
		q.Whole = true
	}
	var response *classify.Response
	if r := x.Response; r != nil {
		response = &classify.Response{Status: r.Status, Header: r.Fields, Body: r.Body}
	}
	causes := diagnosis.Saved(classify.New(classify.DefaultCatalog()), &classify.Request{
		Method: q.Method, Target: []byte(q.Target), Host: q.Fields.Get("Host"), Header: q.Fields, Body: q.Body,
	}, signature.Extent{Body: q.Whole, Fields: true}, response)
	if v.output == "text" {
		return diagnosis.Write(std.out, causes, diagnosis.Language(v.language))
	}
	for _, c := range causes {
		if err := output.JSON(std.out, c); err != nil {
			return err
		}
	}
	return nil
}
