package diagnosis

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

// authenticationInput is the input for finding out why a request was not
// authenticated.
type authenticationInput struct {
	code      string // the vendor's code as spelled in the catalogue; "" if there is none
	foreign   bool   // the catalogue does not know the code
	category  classify.Category
	signing   classify.Signing
	signature *signature.Result // nil if the request was not inspected
	hasToken  bool
	clock     clockFinding
}

// The codes that concern the access key, which is looked up before the signature
// is verified, and the codes that concern the security token.
var (
	codesOfKey   = []string{"InvalidClientTokenId", "InvalidAccesskey", "InvalidAccessKeyId", "AccessKeyNoSuchEntity"}
	codesOfToken = []string{codeTokenExpired, "InvalidToken"}
)

const codeTokenExpired = "SecurityTokenExpired"

// authentication ranks the causes for a request that was refused because of its
// signature, key or time. The vendor checks the form first, then the time, the
// key, and finally the signature.
func authentication(in authenticationInput) []Diagnosis {
	var all []Diagnosis
	guilty := in.clock.cause != "" && in.clock.sure != Excluded
	code := Fact{Name: "code", Value: in.code}
	switch {
	case guilty && in.category == classify.CategoryClock:
		return in.time()
	case in.code == codeTokenExpired:
		all = append(all, say(CauseTokenExpired, Certain, code))
	case isOne(codesOfToken, in.code):
		all = append(all, say(CauseTokenRefused, Likely, code))
	case isOne(codesOfKey, in.code) && in.hasToken:
		all = append(all, say(CauseTokenRefused, Likely, code), say(CauseKeyUnknown, Likely, code))
	case isOne(codesOfKey, in.code):
		all = append(all, say(CauseKeyUnknown, Certain, code))
	default:
		if guilty {
			all = append(all, say(in.clock.cause, in.clock.sure, in.clock.facts...))
		}
		all = append(all, in.form(guilty)...)
	}
	if in.clock.sure == Excluded {
		all = append(all[:min(len(all), MaxDiagnoses-1)], say(in.clock.cause, Excluded, in.clock.facts...))
	}
	return all[:min(len(all), MaxDiagnoses)]
}

// time returns why the vendor refused the time: because of the clock, or because
// the request has two times and the vendor may have used the other one.
func (in *authenticationInput) time() []Diagnosis {
	if in.signature != nil {
		for _, f := range in.signature.Findings {
			if f.Check == signature.CheckDates {
				return []Diagnosis{
					say(Cause(f.Check), certainty(f.Confidence), f.Facts...),
					say(in.clock.cause, Possible, in.clock.facts...),
				}
			}
		}
	}
	return []Diagnosis{say(in.clock.cause, in.clock.sure, in.clock.facts...)}
}

// form returns the diagnoses for the form of the signature. A wrong secret key is
// included after the certain and likely causes, unless a certain cause rules it
// out. explained reports that a likely cause has already been found.
func (in *authenticationInput) form(explained bool) []Diagnosis {
	s := in.signature
	if s == nil {
		return nil
	}
	var all, rest []Diagnosis
	suspicious, sure := 0, false
	for _, f := range s.Findings {
		d := say(Cause(f.Check), certainty(f.Confidence), f.Facts...)
		switch f.Confidence {
		case signature.ConfidencePossible:
			rest = append(rest, d)
			continue
		case signature.ConfidenceCertain:
			sure = true
		case signature.ConfidenceLikely:
		}
		suspicious++
		all = append(all, d)
	}
	if sure || !in.compared() {
		return all
	}
	secret := Likely
	if suspicious > 0 || explained || in.foreign {
		secret = Possible
	}
	all = append(all, say(CauseSecretWrong, secret,
		Fact{Name: "passed", Value: strconv.Itoa(s.Checks - suspicious)},
		Fact{Name: "checks", Value: strconv.Itoa(s.Checks)},
		Fact{Name: "fields", Value: orDash(s.Fields)}))
	return append(all, rest...)
}

// compared reports whether the vendor may have got as far as comparing the
// signatures.
func (in *authenticationInput) compared() bool {
	if in.category == classify.CategoryClock || in.signing == classify.SigningNone {
		return false
	}
	return !strings.HasPrefix(in.code, "Missing") && !strings.HasPrefix(in.code, "Incomplete")
}

// certainty converts a signature.Confidence to a Certainty.
func certainty(c signature.Confidence) Certainty { return Certainty(c.String()) }

// isOne reports whether code is in the list, ignoring case.
func isOne(codes []string, code string) bool {
	return slices.ContainsFunc(codes, func(c string) bool { return len(c) == len(code) && strings.EqualFold(c, code) })
}
