package web

import (
	"strconv"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// subjectOf returns what identifies a kind of failure, as the filter that selects
// it: its code, or its fault, or else its status or outcome.
func subjectOf(r *record.Record) filter {
	switch {
	case r.Code != "":
		return filter{Name: "code", Value: r.Code}
	case r.Fault != "":
		return filter{Name: "fault", Value: string(r.Fault)}
	case r.Outcome == classify.OutcomePartial || r.Status == 0:
		return filter{Name: "outcome", Value: string(r.Outcome)}
	}
	return filter{Name: "status", Value: strconv.Itoa(r.Status)}
}

// subject returns the name of the kind of failure of r.
func (l language) subject(r *record.Record) string {
	s := subjectOf(r)
	switch s.Name {
	case "status":
		return "HTTP " + s.Value
	case "outcome":
		return l.word("outcome", s.Value)
	}
	return s.Value
}

// statusBeside returns the status of a failure if its subject does not name it, or
// else 0.
func statusBeside(r *record.Record) int {
	if subjectOf(r).Name == "status" {
		return 0
	}
	return r.Status
}

// SubjectLink returns the link with the filter of the kind of failure of r.
func (l location) SubjectLink(r *record.Record) string {
	s := subjectOf(r)
	return l.Set(s.Name, s.Value)
}
