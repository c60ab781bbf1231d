package classify

import (
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// fields is a Header for tests.
type fields map[string]string

func (f fields) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, name := range slices.Sorted(maps.Keys(f)) {
			if !yield([]byte(name), []byte(f[name])) {
				return
			}
		}
	}
}

func (f fields) Get(name string) []byte {
	for k, v := range f {
		if strings.EqualFold(k, name) {
			return []byte(v)
		}
	}
	return nil
}

const sampleID = "00000000-1111-4222-8333-4444444444"

// samples is how each file of testdata/samples is read with the status that it is
// served with. request is the tail of the request ID behind sampleID.
var samples = []struct {
	file     string
	status   int
	outcome  Outcome
	code     string
	typ      Type
	category Category
	blame    Blame
	request  string
	items    int
	row      int
	match    Match
}{
	{"monitor-error-lowercase.json", 400, OutcomeError, "InvalidParameterValue", TypeSender, CategoryRequest, BlameClient, "01", 0, 0, MatchCode},
	{"monitor-error-missing-signature.json", 400, OutcomeError, "MissingSignature", TypeSender, CategoryAuth, BlameCredential, "02", 0, 2, MatchCode},
	{"monitor-error-no-such-metric.INFERRED.json", 404, OutcomeError, "NoSuchEntity", TypeSender, CategoryNotFound, BlameClient, "21", 0, 17, MatchCode},
	{"opentsdb-numeric-code.INFERRED.json", 404, OutcomeError, "404", TypeSender, CategoryNotFound, BlameClient, "", 0, 17, MatchMessage},
	{"gateway-error.json", 403, OutcomeError, "SignatureDoesNotMatch", TypeSender, CategoryAuth, BlameCredential, "03", 0, 10, MatchCode},
	{"gateway-error-receiver.json", 500, OutcomeError, "ServiceTimeout", TypeReceiver, CategoryTimeout, BlameProvider, "04", 0, 20, MatchCode},
	{"gateway-error-no-type.json", 404, OutcomeError, "INVALID_ACTION", TypeSender, CategoryRequest, BlameClient, "05", 0, 0, MatchCode},
	{"gateway-error-lackpolicy.json", 403, OutcomeError, "InvalidAuthenticationCode", TypeSender, CategoryPermission, BlameCredential, "06", 0, 14, MatchCode},
	{"gateway-error-inner-account.json", 403, OutcomeError, "InnerAccountCanOnlyAccessThroughIntranet", TypeSender, CategoryPermission, BlameCredential, "07", 0, 0, MatchCode},
	{"gateway-error-limit-exceeded.json", 409, OutcomeError, "LimitExceeded", TypeSender, CategoryThrottled, BlameQuota, "08", 0, 18, MatchCode},
	{"gateway-error-dryrun.json", 412, OutcomeDryRun, "DryRunOperation", "", "", "", "09", 0, 19, MatchCode},
	{"error.xml", 400, OutcomeError, "InvalidParameterValue", TypeSender, CategoryRequest, BlameClient, "10", 0, 0, MatchCode},
	{"error-lowercase-code.xml", 400, OutcomeError, "InvalidParameterValue", TypeSender, CategoryRequest, BlameClient, "11", 0, 0, MatchCode},
	{"error-unclosed-root.xml.txt", 400, OutcomeError, "InvalidParameterValue", TypeSender, CategoryRequest, BlameClient, "12", 0, 0, MatchCode},
	{"ssl-error.xml", 403, OutcomeError, "PermissionDenied", TypeSender, CategoryPermission, BlameCredential, "15", 0, 0, MatchCode},
	{"error-legacy-response.xml", 400, OutcomeError, "MissingParameter", TypeSender, CategoryRequest, BlameClient, "13", 0, 1, MatchCode},
	{"error-ec2-style.xml", 400, OutcomeError, "MissingParameter", TypeSender, CategoryRequest, BlameClient, "14", 0, 1, MatchCode},
	{"flat-error.json", 400, OutcomeError, "MissingParameter", TypeSender, CategoryRequest, BlameClient, "16", 0, 1, MatchCode},
	{"flat-error-numeric-code.json", 404, OutcomeError, "404", TypeUnknown, CategoryNotFound, BlameClient, "17", 0, 0, MatchStatus},
	{"flat-error-numeric-code.json", 200, OutcomeMasked, "404", TypeUnknown, CategoryNotFound, BlameClient, "17", 0, 0, MatchStatus},
	{"flat-success-numeric-code.json", 200, OutcomeSuccess, "0", "", "", "", "18", 0, 0, MatchNone},
	{"error-as-string.json", 500, OutcomeError, "", TypeUnknown, CategoryServer, BlameProvider, "20", 0, 0, MatchStatus},
	{"error-as-string.json", 200, OutcomeMasked, "", TypeUnknown, CategoryUnknown, BlameProvider, "20", 0, 0, MatchNone},
	{"flat-code-in-200.json", 200, OutcomeSuccess, "InternalError", "", "", "", "19", 0, 0, MatchNone},
	{"flat-code-in-200-numeric.INFERRED.json", 200, OutcomeSuccess, "200", "", "", "", "35", 0, 0, MatchNone},
	{"batch-partial-failure.json", 200, OutcomePartial, "", TypeSender, CategoryPermission, BlameCredential, "22", 1, 15, MatchMessage},
	{"batch-partial-failure.xml", 200, OutcomePartial, "", TypeSender, CategoryNotFound, BlameClient, "24", 1, 17, MatchMessage},
	{"batch-all-failed-200.json", 200, OutcomePartial, "", TypeSender, CategoryNotFound, BlameClient, "23", 2, 17, MatchMessage},
	{"gateway-502.html", 502, OutcomeError, "", TypeUnknown, CategoryServer, BlameProvider, "", 0, 0, MatchStatus},
	{"gateway-502.html", 200, OutcomeMasked, "", TypeUnknown, CategoryServer, BlameProvider, "", 0, 0, MatchNone},
	{"gateway-error.json", 200, OutcomeMasked, "SignatureDoesNotMatch", TypeSender, CategoryAuth, BlameCredential, "03", 0, 10, MatchCode},
	{"gateway-error-dryrun.json", 200, OutcomeDryRun, "DryRunOperation", "", "", "", "09", 0, 19, MatchCode},
	{"error.xml", 200, OutcomeMasked, "InvalidParameterValue", TypeSender, CategoryRequest, BlameClient, "10", 0, 0, MatchCode},
	{"success-alarm-list.json", 200, OutcomeSuccess, "", "", "", "", "30", 0, 0, MatchNone},
	{"success-batch-v5.json", 200, OutcomeSuccess, "", "", "", "", "28", 0, 0, MatchNone},
	{"success-batch.json", 200, OutcomeSuccess, "", "", "", "", "27", 0, 0, MatchNone},
	{"success-billing-style.xml", 200, OutcomeSuccess, "", "", "", "", "33", 0, 0, MatchNone},
	{"success-gateway.json", 200, OutcomeSuccess, "", "", "", "", "31", 0, 0, MatchNone},
	{"success-gateway.xml", 200, OutcomeSuccess, "", "", "", "", "32", 0, 0, MatchNone},
	{"success-getmetricstatistics.json", 200, OutcomeSuccess, "", "", "", "", "25", 0, 0, MatchNone},
	{"success-getmetricstatistics.xml", 200, OutcomeSuccess, "", "", "", "", "26", 0, 0, MatchNone},
	{"success-listmetrics.json", 200, OutcomeSuccess, "", "", "", "", "29", 0, 0, MatchNone},
	{"success-queryrange-partial.json", 200, OutcomePartial, "", TypeUnknown, CategoryUnknown, BlameProvider, "34", 0, 0, MatchNone},
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	return testfile.Read(t, "testdata", "samples", name)
}

func TestSamples(t *testing.T) {
	c := New(DefaultCatalog())
	for _, s := range samples {
		t.Run(s.file, func(t *testing.T) {
			v := c.Response(&Call{}, &Response{Status: s.status, Body: sample(t, s.file)})
			wantID := ""
			if s.request != "" {
				wantID = sampleID + s.request
			}
			row := 0
			if v.Entry != nil {
				row = v.Entry.Row
			}
			got := []any{v.Outcome, v.Code, v.Type, v.Category, v.Blame, v.RequestID.String(), v.FailedItems, row, v.Match, v.Status}
			want := []any{s.outcome, s.code, s.typ, s.category, s.blame, wantID, s.items, s.row, s.match, s.status}
			names := []string{"outcome", "code", "type", "category", "blame", "request ID", "failed items", "row", "match", "status"}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s: %v, want %v", names[i], got[i], want[i])
				}
			}
		})
	}
}

// TestSamplesAllRead fails for a sample that no row of the table reads.
func TestSamplesAllRead(t *testing.T) {
	files, err := os.ReadDir(filepath.Join("testdata", "samples"))
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{"README.md": true}
	for _, s := range samples {
		read[s.file] = true
	}
	for _, f := range files {
		if !read[f.Name()] {
			t.Errorf("testdata/samples/%s has no row in the table of samples", f.Name())
		}
	}
	if len(files) < 38 {
		t.Errorf("%d samples, want all 38", len(files))
	}
}
