package diagnosis

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

func TestAuthentication(t *testing.T) {
	right := clockFinding{cause: CauseClockRight, sure: Excluded}
	off := clockFinding{cause: CauseClockSkew, sure: Likely}
	surely := clockFinding{cause: CauseClockSkew, sure: Certain}
	form := func(findings ...signature.Finding) *signature.Result {
		return &signature.Result{Findings: findings, Checks: 30, Fields: "host"}
	}
	certain := signature.Finding{Check: signature.CheckHostUnsigned}
	likely := signature.Finding{Check: signature.CheckHostForeign, Confidence: signature.ConfidenceLikely}
	possible := signature.Finding{Check: signature.CheckParamOrder, Confidence: signature.ConfidencePossible}
	dates := signature.Finding{Check: signature.CheckDates, Confidence: signature.ConfidenceLikely}
	const auth, clock = classify.CategoryAuth, classify.CategoryClock

	f := func(name string, in authenticationInput, want ...string) {
		t.Helper()
		if in.signing == "" {
			in.signing = classify.SigningSigV4
		}
		assert.Equal(t, want, names(authentication(in)), name)
	}
	f("nothing known", authenticationInput{category: auth, code: "SignatureDoesNotMatch"})
	f("a right form", authenticationInput{category: auth, code: "SignatureDoesNotMatch", signature: form(), clock: right},
		"secret_wrong (likely)", "clock_right (excluded)")
	f("what might be wrong comes behind the secret key", authenticationInput{category: auth, code: "SignatureDoesNotMatch", signature: form(possible)},
		"secret_wrong (likely)", "parameter_order (possible)")
	f("what likely is comes before", authenticationInput{category: auth, code: "SignatureDoesNotMatch", signature: form(likely, possible)},
		"host_foreign (likely)", "secret_wrong (possible)", "parameter_order (possible)")
	f("what surely is leaves no room", authenticationInput{category: auth, code: "SignatureDoesNotMatch", signature: form(certain, likely, possible), clock: right},
		"host_unsigned (certain)", "host_foreign (likely)", "clock_right (excluded)")
	f("the clock is off, and not said to be", authenticationInput{category: auth, code: "SignatureDoesNotMatch", signature: form(), clock: off},
		"clock_skew (likely)", "secret_wrong (possible)")
	f("the clock is off, and said to be", authenticationInput{category: clock, code: "SignatureDoesNotMatch", signature: form(likely), clock: surely},
		"clock_skew (certain)")
	f("one of two dates is off", authenticationInput{category: clock, code: "SignatureDoesNotMatch", signature: form(dates), clock: surely},
		"dates_differ (likely)", "clock_skew (possible)")
	f("the clock is said to be off, and is not", authenticationInput{category: clock, code: "InvalidTimestamp", signature: form(), clock: right},
		"clock_right (excluded)")
	f("the key is unknown, whatever the form", authenticationInput{category: auth, code: "InvalidAccesskey", signature: form(certain), clock: right},
		"key_unknown (certain)", "clock_right (excluded)")
	f("the key is unknown, or its token", authenticationInput{category: auth, code: "InvalidClientTokenId", signature: form(), hasToken: true},
		"token_refused (likely)", "key_unknown (likely)")
	f("the token", authenticationInput{category: auth, code: "InvalidToken", signature: form()}, "token_refused (likely)")
	f("the token is old", authenticationInput{category: auth, code: "SecurityTokenExpired", signature: form()}, "token_expired (certain)")
	f("of a code that the catalogue does not know", authenticationInput{category: auth, code: "X", foreign: true, signature: form()},
		"secret_wrong (possible)")
	f("the key is missing", authenticationInput{category: auth, code: "MissingAccesskey", signature: form()})
	f("not signed", authenticationInput{category: auth, code: "Unauthorized", signature: form(), signing: classify.SigningNone})
	f("more than are said", authenticationInput{category: auth, code: "SignatureDoesNotMatch", signature: form(likely, likely, likely, likely, likely, likely), clock: right},
		"host_foreign (likely)", "host_foreign (likely)", "host_foreign (likely)", "host_foreign (likely)", "clock_right (excluded)")
}

// TestOthersAreNotDiagnosed checks that attempts that failed for other reasons,
// or did not fail, get no diagnosis.
func TestOthersAreNotDiagnosed(t *testing.T) {
	for _, category := range classify.Categories() {
		o := success()
		o.Signature = &signature.Result{Checks: 1}
		o.Verdict.Category = category
		if got := New().Diagnose(o, Attempt{}); got != nil {
			t.Errorf("a success: %v", names(got))
		}
		o.Verdict.Outcome = classify.OutcomeError
		of := category == classify.CategoryAuth || category == classify.CategoryClock
		if got := New().Diagnose(o, Attempt{}); (got != nil) != of {
			t.Errorf("%s: %v", category, names(got))
		}
	}
}

// TestCauses checks that every cause is described in full, and none besides.
func TestCauses(t *testing.T) {
	known := map[Cause]bool{
		CauseClockSkew: true, CauseClockZone: true, CauseClockRight: true, CauseSignatureStale: true,
		CauseSecretWrong: true, CauseKeyUnknown: true, CauseTokenRefused: true, CauseTokenExpired: true,
		CauseCallsRedundant: true, CauseQuotaExceeded: true, CauseQuotaShared: true, CauseQuotaNear: true, CauseSizeExceeded: true, CauseSizeNear: true,
		CauseRetryThrottled: true, CauseRetryWasted: true,
		CauseKeyRevoked: true, CauseKeyExpired: true, CausePermissionLost: true, CauseKeyRecovered: true, CauseKeyFirstSeen: true, CauseKeyNewRegion: true, CauseKeyNewService: true,
	}
	for _, c := range signature.Checks() {
		known[Cause(c)] = true
	}
	for _, c := range append(HiddenCauses(), CauseItemsFailed, CauseMasked) {
		known[c] = true
	}
	for _, d := range Causes() {
		assert.True(t, known[d.Cause], "%s is described, but is no cause", d.Cause)
		delete(known, d.Cause)
		for _, text := range []string{d.Summary.English, d.Summary.Chinese, d.Evidence.English, d.Evidence.Chinese, d.Advice.Do.English, d.Advice.Do.Chinese} {
			assert.NotEmpty(t, text, "%s: a text is missing", d.Cause)
			if limit := maxFilled - 50; strings.Contains(text, "{") && len(text) > limit {
				t.Errorf("%s: a text of %d bytes that facts are put in, want at most %d", d.Cause, len(text), limit)
			}
		}
		if !slices.Contains(Retries(), d.Advice.Retry) || d.Blame == "" {
			t.Errorf("%s: retry %q, blame %q", d.Cause, d.Advice.Retry, d.Blame)
		}
	}
	for c := range known {
		t.Errorf("%s is not described", c)
	}
}
