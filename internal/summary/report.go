package summary

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/evidence"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// The files of a report.
const (
	reportSummary  = "summary.json"
	reportFailures = "failures.ndjson"
	reportTickets  = "tickets.%s.txt" // with the language
	reportHAR      = "failures.har"
)

// Report writes the summary and the failures in the journal to files in dir, which is
// created if it does not exist. Files of an older report are replaced. kept has the
// evidence of the failures; it may be nil.
func (s Summary) Report(dir string, j *journal.Journal, kept *evidence.Store) error {
	if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // the umask applies, as for the summary
		return err
	}
	failures, _ := j.Select(context.Background(), &journal.Filter{}, "", j.Stats().Capacity)
	slices.Reverse(failures) // the oldest first
	archive, err := har.Encode(failures, kept.Find, version.Version)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		reportHAR: archive,
		fmt.Sprintf(reportTickets, diagnosis.English): tickets(failures, diagnosis.English),
		fmt.Sprintf(reportTickets, diagnosis.Chinese): tickets(failures, diagnosis.Chinese),
	}
	var lines, summary bytes.Buffer
	if err := output.JSON(&summary, s); err != nil {
		return err
	}
	for _, r := range failures {
		if err := output.JSON(&lines, r); err != nil {
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
