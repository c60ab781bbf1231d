// Package responses classifies saved responses of the API, and prints the results.
package responses

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"net/http"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/savedhttp"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Reader classifies saved responses. Only Classifier is required.
type Reader struct {
	Classifier *classify.Classifier
	Status     int              // of a body without a status; 0 if it is not known
	Fields     savedhttp.Fields // header fields of the response, after its own
	Action     string           // of the call
}

// Reading is the printed result for one response. Its JSON keys are a public
// interface.
type Reading struct {
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

// Read classifies one saved response. It returns an error for data without a
// status that cannot be the body of a response of the API.
func (r *Reader) Read(name string, data []byte) (Reading, error) {
	whole := savedhttp.ParseResponse(data)
	response := whole
	if whole == nil {
		response = &savedhttp.Response{Status: cmp.Or(r.Status, http.StatusOK), Body: data}
	}
	verdict := r.Classifier.Response(&classify.Call{Action: r.Action}, &classify.Response{
		Status: response.Status, Header: append(response.Fields, r.Fields...), Body: response.Body,
	})
	if whole == nil && r.Status == 0 {
		if look := notResponse(&verdict, data); look != "" {
			return Reading{}, usererror.New(name+" is not a response of the API: it is "+look, "if it is the body of one, set --status")
		}
	}
	verdict.Scrub(nil)
	out := Reading{
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
		out.Meaning = verdict.Entry.Meaning
	}
	out.Advice = diagnosis.ForAttempt(&classify.Observation{Call: classify.Call{Action: r.Action}, Verdict: verdict})
	return out, nil
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
