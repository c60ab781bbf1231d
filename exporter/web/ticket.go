package web

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// beijing is the time zone of the vendor's support. It has no daylight saving
// time. It is fixed because the system may have no time zone database.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// Ticket returns the text of a support ticket about r, in a form that is safe to print.
func Ticket(r *record.Record, in diagnosis.Language) string {
	return printable.Escape(ticket(r, in))
}

// ticket returns the text of a support ticket about r. A request ID that the
// vendor did not issue is left out, because the vendor cannot look it up, and so is the
// advice, which is for the program's side.
func ticket(r *record.Record, in diagnosis.Language) string {
	word := language(in).word
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", word("ticket", name), value)
		}
	}
	always := func(name, value string) { line(name, cmp.Or(value, word("ticket", "none"))) }

	issued := r.RequestID != "" && r.RequestIDSource == classify.RequestIDVendor
	if issued {
		b.WriteString(word("ticket", "introduction") + "\n\n")
		line("requestid", r.RequestID)
	} else {
		b.WriteString(word("ticket", "noid") + "\n\n")
	}
	always("time", fmt.Sprintf("%s (%s)", r.Time.UTC().Format(time.RFC3339), r.Time.In(beijing).Format(time.RFC3339)))
	always("region", r.Region)
	always("api", operation(r))
	if r.Fault != classify.FaultNone {
		line("fault", fmt.Sprintf("%s (%s)", word("ticket", "noresponse"), r.Fault))
	} else {
		always("code", r.Code)
		line("inner", r.InnerCode)
	}
	line("type", string(r.Type))
	always("status", number(r.Status))
	if r.RequestIDSource != classify.RequestIDTap { // otherwise the message is the tap's own, too
		always("message", r.Message)
	}
	always("url", strings.TrimSpace(r.Method+" "+r.URL))
	line("host", r.Host)
	line("upstream", address(r.Upstream))
	if !issued {
		line("address", address(r.Client))
	}
	line("client", r.UserAgent)
	line("failed", number(r.FailedItems))
	for _, d := range r.Diagnoses {
		if d.Certainty == diagnosis.Possible {
			continue
		}
		fmt.Fprintf(&b, "- [%s] %s %s\n", d.Certainty.Text().In(in), d.Summary.In(in), d.Evidence.In(in))
	}
	if r.Scope != (diagnosis.Scope{}) {
		line("scope", r.Scope.Sentence(in, r.Blame, r.Time))
	}
	return b.String()
}

// operation returns service, action and version of the API call.
func operation(r *record.Record) string {
	return strings.Join(strings.Fields(r.Service+" "+r.Action+" "+r.Version), " ")
}

// number formats n, or returns "" for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
