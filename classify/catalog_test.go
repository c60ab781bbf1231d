package classify

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestCatalogRefuses holds the error of each file in testdata/bad against its
// line in errors.golden.
func TestCatalogRefuses(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d bad files, %v", len(files), err)
	}
	var got strings.Builder
	for _, file := range files {
		data := testfile.Read(t, file)
		c, err := DefaultCatalog().Extend(filepath.Base(file), data)
		if err == nil {
			t.Errorf("%s was taken", file)
			continue
		}
		if c != nil {
			t.Errorf("%s gave a catalogue beside its error", file)
		}
		got.WriteString(err.Error() + "\n")
	}
	golden.Check(t, "testdata/bad/errors.golden", []byte(got.String()))
}

func TestCatalogTooLarge(t *testing.T) {
	_, err := DefaultCatalog().Extend("big.yaml", make([]byte, maxCatalogBytes+1))
	if want := "big.yaml:1: the file is larger than 1 MiB: check that it is a catalogue, or split it"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestCatalogCoversTable checks that each row of the vendor's table has its
// entry, with the status the table gives.
func TestCatalogCoversTable(t *testing.T) {
	statuses := [maxTableRow + 1]int{0, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 401, 401, 403, 403, 404, 404, 409, 412, 500}
	for row := 1; row <= maxTableRow; row++ {
		i := slices.IndexFunc(DefaultCatalog().Entries(), func(e *Entry) bool { return e.Row == row && !e.Refines })
		if i < 0 {
			t.Errorf("row %d has no entry", row)
			continue
		}
		e := DefaultCatalog().Entries()[i]
		if !slices.Contains(e.Statuses, statuses[row]) {
			t.Errorf("row %d, %s: statuses %v, want %d among them", row, e.Code, e.Statuses, statuses[row])
		}
		if e.Example == "" {
			t.Errorf("row %d, %s: no example", row, e.Code)
		}
	}
}

// TestCatalogEntries holds every shipped entry against what people and machines
// need of it.
func TestCatalogEntries(t *testing.T) {
	cat := DefaultCatalog()
	for _, e := range cat.Entries() {
		if e.Source == "" {
			t.Errorf("%s: source is missing", e.Code)
		}
		if e.DryRun != (e.Category == "") || e.DryRun != (e.Blame == "") {
			t.Errorf("%s: category %q and blame %q do not go with dry_run %t", e.Code, e.Category, e.Blame, e.DryRun)
		}
		if e.Fault == FaultNone && !e.DryRun && e.Blame != blameOf(e.Category, e.Type) {
			t.Errorf("%s: blame %s does not go with category %s", e.Code, e.Blame, e.Category)
		}
		if e.Category == CategoryThrottled && !e.Retryable {
			t.Errorf("%s is throttled and not retryable", e.Code)
		}
		if (e.Category == CategoryAuth || e.Category == CategoryClock || e.Category == CategoryPermission || e.Category == CategoryRequest) && e.Retryable {
			t.Errorf("%s is %s and retryable", e.Code, e.Category)
		}
		for _, s := range []Text{e.Meaning, e.Advice} {
			if !strings.HasSuffix(s.English, ".") || !strings.HasSuffix(s.Chinese, "。") {
				t.Errorf("%s: no full stop behind %q", e.Code, s)
			}
		}
		// An entry's own example leads back to it, by code and by message.
		if e.Example == "" || e.Fault != FaultNone || len(e.Messages) == 0 {
			continue
		}
		if !cat.says(e, &failedResponse{message: []byte(e.Example)}) {
			t.Errorf("%s: no pattern matches the example %q", e.Code, e.Example)
		}
		a := failedResponse{status: e.Statuses[0], message: []byte(e.Example)}
		if got, m := cat.match(&a); m != MatchMessage || got.Category != e.Category {
			t.Errorf("%s: its example leads by message to %v (%s)", e.Code, got, m)
		}
	}
	for _, f := range faults {
		if _, ok := cat.byFault[f]; !ok {
			t.Errorf("no entry for the fault %s", f)
		}
	}
}

func TestCatalogMatch(t *testing.T) {
	cat := DefaultCatalog()
	tests := []struct {
		name     string
		status   int
		code     string
		message  string
		masked   bool
		want     string
		match    Match
		category Category
	}{
		{"documented code, any status", 418, "MissingSignature", "", false, "MissingSignature", MatchCode, CategoryAuth},
		{"without case", 400, "missingSIGNATURE", "", false, "MissingSignature", MatchCode, CategoryAuth},
		{"alias", 400, "SignatureMismatch", "", false, "SignatureDoesNotMatch", MatchCode, CategoryAuth},
		{"older generation", 403, "SignatureDoesNotMatch", "", false, "SignatureDoesNotMatch", MatchCode, CategoryAuth},
		{"refined by message", 403, "SignatureDoesNotMatch", "Signature expired:20260101T000000Z.", false, "SignatureDoesNotMatch", MatchCode, CategoryClock},
		{"refined by another message", 403, "SignatureDoesNotMatch", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date", false, "SignatureDoesNotMatch", MatchCode, CategoryClock},
		{"scope, no clock", 403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region", false, "SignatureDoesNotMatch", MatchCode, CategoryAuth},
		{"refinement by message alone", 403, "Other", "Signature expired:x", false, "SignatureDoesNotMatch", MatchMessage, CategoryClock},
		{"inferred with status", 400, "InvalidTimestamp", "", false, "InvalidTimestamp", MatchCode, CategoryClock},
		{"inferred with message", 403, "InvalidTimestamp", "Invalid Timestamp. Pls in 15mins", false, "InvalidTimestamp", MatchCode, CategoryClock},
		{"inferred alone falls to status", 500, "InvalidTimestamp", "else", false, "Status5xx", MatchStatus, CategoryServer},
		{"placeholder name is no code", 418, "RequestTooLarge", "", false, "Status4xx", MatchStatus, CategoryUnknown},
		{"placeholder by message", 400, "Whatever", "Request information is too large", false, "RequestTooLarge", MatchMessage, CategoryTooLarge},
		{"fault name is no code", 418, "dns", "", false, "Status4xx", MatchStatus, CategoryUnknown},
		{"message needs its status", 500, "", "Request information is too large", false, "Status500", MatchStatus, CategoryServer},
		{"page's message of row 18 at 409", 409, "", "Request was rejected because it referenced an 'InnerApi' that does not exist.", false, "LimitExceeded", MatchMessage, CategoryThrottled},
		{"the same at 404", 404, "", "Request was rejected because it referenced an 'InnerApi' that does not exist.", false, "NoSuchEntity", MatchMessage, CategoryNotFound},
		{"NoSuchEntity of row 5", 400, "NoSuchEntity", "No such namespace", false, "NoSuchEntity", MatchCode, CategoryRequest},
		{"NoSuchEntity else", 404, "NoSuchEntity", "No such user", false, "NoSuchEntity", MatchCode, CategoryNotFound},
		{"code beats message", 403, "AccessDenied", "lack of policy to [a] the resources[]", false, "AccessDenied", MatchCode, CategoryPermission},
		{"code with a dot", 400, "Payment.CreateOrderFailed", "", false, "CreateOrderFailed", MatchCode, CategoryRequest},
		{"unknown code, known status", 429, "Strange", "", false, "Status4xx", MatchStatus, CategoryUnknown},
		{"class of a status", 451, "", "", false, "Status4xx", MatchStatus, CategoryUnknown},
		{"redirect", 302, "", "", false, "Redirected", MatchStatus, CategoryRequest},
		{"beyond the classes", 700, "", "", false, "", MatchNone, ""},
		{"masked by code", 200, "LimitExceeded", "", true, "LimitExceeded", MatchCode, CategoryThrottled},
		{"masked inferred needs its message", 200, "InvalidTimestamp", "", true, "", MatchNone, ""},
		{"masked by message", 200, "", "product does not belong to this user", true, "ResourceOfAnotherUser", MatchMessage, CategoryPermission},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, m := cat.match(&failedResponse{
				status: tt.status, is2xx: tt.masked,
				code: ascii.AppendLower(nil, []byte(tt.code)), message: []byte(tt.message),
			})
			got, category := "", Category("")
			if e != nil {
				got, category = e.Code, e.Category
			}
			if got != tt.want || m != tt.match || category != tt.category {
				t.Errorf("%q by %q, %q; want %q by %q, %q", got, m, category, tt.want, tt.match, tt.category)
			}
		})
	}
}

func TestCatalogLookup(t *testing.T) {
	cat := DefaultCatalog()
	for code, want := range map[string]string{
		"limitexceeded": "LimitExceeded", " LimitExceeded\n": "LimitExceeded", "INVALIDSIGNATURE": "SignatureDoesNotMatch",
		"requesttoolarge": "RequestTooLarge", "dns": "dns", "status504": "Status504", "nosuchentity": "NoSuchEntity",
	} {
		e, ok := cat.Lookup(code)
		if !ok || e.Code != want || e.Refines {
			t.Errorf("Lookup(%q) = %v, %t; want %s", code, e, ok, want)
		}
	}
	if e, ok := cat.Lookup("no such code"); ok || e != nil {
		t.Errorf("Lookup of an unknown code = %v, %t", e, ok)
	}
}

func TestStatusNames(t *testing.T) {
	e := &Entry{Statuses: []int{400, 4, 503}}
	if got := strings.Join(e.StatusNames(), " "); got != "400 4xx 503" {
		t.Errorf("%q", got)
	}
}

const userCatalog = `
entries:
  - code: QuotaUsedUp
    aliases: [Quota.UsedUp]
    statuses: [400]
    messages: ["*quota of * is used up*"]
    category: throttled
    retryable: true
    advice: Ask for a larger quota.
  - code: signaturedoesnotmatch
    category: permission
    meaning: In our house this means something else.
  - refines: QuotaUsedUp
    messages: ["*for today*"]
    retryable: false
  - code: TeaPot
    grade: placeholder
    statuses: [418]
    category: server
  - fault: dns
    category: network
    blame: tap
    advice: Ask the platform team.
`

func TestCatalogExtend(t *testing.T) {
	before := len(DefaultCatalog().Entries())
	cat, err := DefaultCatalog().Extend("ours.yaml", []byte(userCatalog))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(DefaultCatalog().Entries()); got != before {
		t.Errorf("the shipped catalogue has %d entries, had %d", got, before)
	}
	c := New(cat)
	f := func(status int, body, code string, category Category, retryable bool) {
		t.Helper()
		v := c.Response(nil, &Response{Status: status, Body: []byte(body)})
		if v.CanonicalCode() != code || v.Category != category || v.Retryable != retryable {
			t.Errorf("%d %s: %s, %s, retryable %t; want %s, %s, %t", status, body, v.CanonicalCode(), v.Category, v.Retryable, code, category, retryable)
		}
	}
	// An added code, by code, alias and message.
	f(400, `{"Error":{"Code":"quota.usedup"}}`, "Quota.UsedUp", CategoryThrottled, true)
	f(400, `{"Error":{"Message":"The quota of EIP is used up."}}`, "", CategoryThrottled, true)
	// A refinement of it.
	f(400, `{"Error":{"Code":"QuotaUsedUp","Message":"enough for today"}}`, "QuotaUsedUp", CategoryThrottled, false)
	// An override, whose refinements went with it.
	f(403, `{"Error":{"Code":"SignatureDoesNotMatch","Message":"Signature expired:x"}}`, "signaturedoesnotmatch", CategoryPermission, false)
	// A status of its own before the class of ours.
	f(418, ``, "", CategoryServer, false)

	if v := c.Fault(FaultDNS, 0); v.Blame != BlameTap || v.Entry.Advice.Chinese != "Ask the platform team." {
		t.Errorf("dns: %+v", v)
	}
	if e, ok := cat.Lookup("InvalidSignature"); ok {
		t.Errorf("the alias of a replaced entry leads to %s", e.Code)
	}
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, message string
		want             bool
	}{
		{"abc", "abc", true},
		{"abc", "abcd", false},
		{"abc", "ab", false},
		{"a*c", "ac", true},
		{"a*c", "abbc", true},
		{"a*c", "abcd", false},
		{"*b*", "abc", true},
		{"*", "", true},
		{"a*a", "a", false},
		{"*ab*ab*", "xabyabz", true},
		{"*ab*ab*", "xabz", false},
		{"A*B", "a b", true},
	} {
		if got := newPattern(tt.pattern).matches([]byte(tt.message)); got != tt.want {
			t.Errorf("%q matches %q: %t", tt.pattern, tt.message, got)
		}
	}
}
