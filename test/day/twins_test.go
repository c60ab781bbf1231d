package day

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/savedhttp"
)

// twins are, for each diagnosis, scenarios that are as near as possible to one in which
// it must be given, and in which it must not be. Those of signatures are the right
// requests of the simulator that resemble wrong ones, signed with a wrong secret key so
// that they are diagnosed.
var twins = func() map[string][]string {
	all := map[string][]string{
		"clock_skew":      {"clock fourteen minutes ahead works"},
		"clock_zone":      {"clock behind", "clock seven hours and 43 minutes ahead"},
		"clock_right":     {"clock behind"},
		"signature_stale": {"queue of requests signed ten minutes before"},
		"secret_wrong":    {"key rotated in time"},
		"token_refused":   {"temporary keys replaced in time"},
		"token_expired":   {"temporary keys replaced in time", "temporary key no longer known"},
		"key_expired":     {"temporary keys replaced in time"},
		"key_revoked":     {"key rotated in time", "unknown key"},
		"permission_lost": {"never permitted", "resource of another account"},

		"event key_revoked":     {"two refusals while a key spreads", "unknown key"},
		"event key_expired":     {"two refusals of a temporary key"},
		"event permission_lost": {"never permitted", "resource of another account"},
		"event key_recovered":   {"two refusals while a key spreads"},
		"event key_first_seen":  {"key used by a second program"},
		"event key_new_region":  {"key back in its first region"},
		"event key_new_service": {"key back at its first service"},

		"masked":            {"flat codes that mean nothing"},
		"items_failed":      {"batch with an instance without data"},
		"interval_zone":     {"the future", "seven hours and 43 minutes ahead"},
		"interval_future":   {"interval that ends in the future"},
		"interval_old":      {"29 days ago, without data"},
		"interval_recent":   {"the last ten minutes, without data"},
		"interval_reversed": {"interval of no length"},
		"data_stopped":      {"always empty", "an earlier time without data"},
		"data_stale":        {"data ten minutes late"},
		"data_none":         {"data stops and comes back", "poll every minute"},
		"pages_unread":      {"two pages of one list", "two programs of one address read one list", "pages read at the same time", "requests without data by themselves"},

		"retry_throttled":          {"throttled by others, asked again a minute later"},
		"event retry_wasted":       {"a failing poll every minute", "a failing poll every ten seconds"},
		"quota_exceeded":           {"throttled by others, retried at once", "near the limit"},
		"quota_shared":             {"limit exceeded", "throttled in the first minute of a key", "an outage at a low rate"},
		"event quota_near":         {"far from the limit"},
		"size_exceeded":            {"batches of exactly 200 metrics"},
		"event size_near":          {"large requests within their size"},
		"possible calls_redundant": {"limit exceeded", "throttled by others, retried at once"},
	}
	for _, s := range cloudmonitor.SigningScenarios() {
		for _, cause := range s.Near {
			all[cause] = append(all[cause], wrongSecret+s.Name)
		}
	}
	all["scope_date"] = []string{"clock behind at midnight"}
	return all
}()

// wrongSecret begins the names of the cases of right requests that are signed with a wrong
// secret key.
const wrongSecret = "right signature, wrong secret: "

// elsewhere are the causes that traffic through the tap cannot have, because the relay
// refuses such requests or does not see the difference. ksyun-tap doctor gives them.
var elsewhere = map[diagnosis.Cause]struct{ wrong, right func(q *classify.Request) }{
	"host_doubled": {
		wrong: func(q *classify.Request) { addField(q, "Host", "monitor.api.ksyun.com") },
		right: func(q *classify.Request) { addField(q, "Accept", "text/xml") },
	},
	"host_differs": {
		wrong: func(q *classify.Request) { q.Host = []byte("monitor.cn-shanghai-2.api.ksyun.com") },
		right: func(q *classify.Request) { q.Host = []byte("MONITOR.api.ksyun.com") },
	},
}

// addField adds a field to a request.
func addField(q *classify.Request, name, value string) {
	q.Header = append(q.Header.(savedhttp.Fields), savedhttp.Field{Name: name, Value: value})
}

// checkTwins checks that each diagnosis was given in a scenario, and not in the nearest
// innocent ones. It returns the table of both.
func checkTwins(t *testing.T, s *score) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| diagnosis | given in | not given in |\n|---|---|---|\n")
	kinds := slices.Sorted(maps.Keys(s.where))
	for _, d := range diagnosis.Causes() {
		c := string(d.Cause)
		if _, ok := elsewhere[d.Cause]; !ok && s.where[c] == nil && s.where["possible "+c] == nil && s.where["event "+c] == nil {
			t.Errorf("no scenario in which %s is given", c)
		}
	}
	for _, kind := range kinds {
		cause, possible := strings.CutPrefix(kind, "possible ")
		if possible && s.where[cause] != nil {
			continue // its row is that of the likely cause
		}
		innocent := twins[kind]
		if innocent == nil {
			innocent = twins[cause]
		}
		assert.NotEmpty(t, innocent, "no innocent scenario near to those in which %s is given", kind)
		for _, name := range innocent {
			switch {
			case !s.ran[name]:
				t.Errorf("%s: no scenario %q", kind, name)
			case s.where[kind][name]:
				t.Errorf("%s is given in %q", kind, name)
			}
		}
		given := slices.Sorted(maps.Keys(s.where[kind]))
		if more := len(given) - 3; more > 0 {
			given = append(given[:3], fmt.Sprintf("%d more", more))
		}
		word, name, ok := strings.Cut(kind, " ")
		if !ok {
			word, name = "", word
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.TrimSpace(word+" `"+name+"`"), strings.Join(given, "; "), strings.Join(innocent, "; "))
	}
	return b.String()
}

// TestDoctorTwins checks the causes that only ksyun-tap doctor gives.
func TestDoctorTwins(t *testing.T) {
	key := cloudmonitor.Credential{AccessKey: "AKLTdoctor00000000000", SecretKey: "secret"}
	for cause, change := range elsewhere {
		for wrong, f := range map[bool]func(*classify.Request){true: change.wrong, false: change.right} {
			q := requestOf(cloudmonitor.SigningScenarios()[0].Bytes(key, epoch))
			f(q)
			given := slices.ContainsFunc(diagnosis.Saved(classifier, q, signature.Extent{Body: true, Fields: true}, nil), func(d diagnosis.Diagnosis) bool { return d.Cause == cause })
			assert.Equal(t, wrong, given, "%s: given", cause)
		}
	}
}
