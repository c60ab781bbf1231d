package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

// The files of a report.
const (
	reportSummary  = "summary.json"
	reportFailures = "failures.ndjson"
	reportTickets  = "tickets.%s.txt" // with the language
	reportHAR      = "failures.har"
)

// writeReport writes the summary and the failures in the journal to files in dir,
// which is created if it does not exist. Files of an older report are replaced.
func writeReport(dir string, t *tap) error {
	if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // the umask applies, as for the summary
		return err
	}
	failures, _ := t.journal.Select(&journal.Filter{}, "", t.journal.Stats().Capacity)
	slices.Reverse(failures) // the oldest first
	har, err := json.MarshalIndent(harOf(failures), "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		reportHAR: har,
		fmt.Sprintf(reportTickets, diagnosis.English): tickets(failures, diagnosis.English),
		fmt.Sprintf(reportTickets, diagnosis.Chinese): tickets(failures, diagnosis.Chinese),
	}
	var lines, summary bytes.Buffer
	if err := encodeJSON(&summary, makeSummary(t)); err != nil {
		return err
	}
	for _, r := range failures {
		if err := encodeJSON(&lines, r); err != nil {
			return err
		}
	}
	files[reportSummary], files[reportFailures] = summary.Bytes(), lines.Bytes()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil { //nolint:gosec // likewise
			return err
		}
	}
	return nil
}

// encodeJSON writes v on one line.
func encodeJSON(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// tickets returns one ticket for each group of equal failures, about its last
// failure.
func tickets(failures []*record.Record, language diagnosis.Language) []byte {
	var all []string
	seen := map[string]bool{}
	for _, r := range slices.Backward(failures) {
		if !seen[r.Group] {
			seen[r.Group] = true
			all = append(all, web.Ticket(r, language))
		}
	}
	return []byte(strings.Join(all, "\n----\n\n"))
}

// The types of a HAR 1.2 file, as far as it is written. Fields that the format
// requires are written even if nothing is known.
type harFile struct {
	Log harLog `json:"log"`
}

type harLog struct {
	Version string     `json:"version"`
	Creator harCreator `json:"creator"`
	Entries []harEntry `json:"entries"`
}

type harCreator struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type harEntry struct {
	Started  time.Time   `json:"startedDateTime"`
	Time     float64     `json:"time"` // in milliseconds
	Request  harRequest  `json:"request"`
	Response harResponse `json:"response"`
	Cache    struct{}    `json:"cache"`
	Timings  harTimings  `json:"timings"`
	Server   string      `json:"serverIPAddress,omitempty"`
	Comment  string      `json:"comment,omitempty"`
}

type harRequest struct {
	Method      string     `json:"method"`
	URL         string     `json:"url"`
	HTTPVersion string     `json:"httpVersion"`
	Cookies     []harField `json:"cookies"`
	Headers     []harField `json:"headers"`
	Query       []harField `json:"queryString"`
	HeadersSize int        `json:"headersSize"`
	BodySize    int        `json:"bodySize"`
}

type harResponse struct {
	Status      int        `json:"status"` // 0 without a response
	StatusText  string     `json:"statusText"`
	HTTPVersion string     `json:"httpVersion"`
	Cookies     []harField `json:"cookies"`
	Headers     []harField `json:"headers"`
	Content     harContent `json:"content"`
	RedirectURL string     `json:"redirectURL"`
	HeadersSize int        `json:"headersSize"`
	BodySize    int        `json:"bodySize"`
}

type harField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type harContent struct {
	Size     int    `json:"size"`
	MIMEType string `json:"mimeType"`
}

type harTimings struct {
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
}

// unknownSize is the format's value for a size that is not known.
const unknownSize = -1

// harOf returns the exchanges of the failures, without header fields and bodies.
// URLs are redacted, as in records.
func harOf(failures []*record.Record) harFile {
	log := harLog{Version: "1.2", Creator: harCreator{"ksyun-tap", version.Version}, Entries: []harEntry{}}
	for _, r := range failures {
		millis := r.DurationSeconds * 1000
		protocol := ""
		if r.Protocol != "" {
			protocol = "HTTP/" + r.Protocol
		}
		e := harEntry{
			Started: r.Start, Time: millis, Timings: harTimings{Wait: millis},
			Request: harRequest{
				Method: r.Method, URL: r.URL, HTTPVersion: protocol, Cookies: []harField{}, Headers: []harField{},
				Query: queryOf(r.URL), HeadersSize: unknownSize, BodySize: unknownSize,
			},
			Response: harResponse{
				Status: r.Status, StatusText: http.StatusText(r.Status), HTTPVersion: protocol, Cookies: []harField{}, Headers: []harField{},
				HeadersSize: unknownSize, BodySize: unknownSize,
			},
			Comment: strings.Join(names([]string{r.Code, string(r.Fault), r.RequestID, r.Message}), " "),
		}
		if r.Upstream.IsValid() {
			e.Server = net.IP(r.Upstream.Addr().AsSlice()).String()
		}
		log.Entries = append(log.Entries, e)
	}
	return harFile{log}
}

// queryOf returns the parameters of a URL in their order.
func queryOf(text string) []harField {
	fields := []harField{}
	_, query, _ := strings.Cut(text, "?")
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != "" {
			fields = append(fields, harField{unescaped(name), unescaped(value)})
		}
	}
	return fields
}

// unescaped returns s without percent-encoding. An encoding can hide what looks like a
// secret, which is redacted.
func unescaped(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return classify.Scrub(d)
	}
	return s
}
