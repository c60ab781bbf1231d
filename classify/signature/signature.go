// Package signature inspects how a request is signed, and finds in its form the reasons
// why its signature may have been refused. It knows neither the secret key nor the
// string that the program signed, so it cannot detect a wrong secret key, or a signed
// value that was changed without changing its form.
package signature

import (
	"iter"
	"slices"
	"time"
)

// Result is the result of inspecting a request. It contains no secrets: no key,
// signature or token, and only those parameter values that are dates or names
// defined by the API.
type Result struct {
	// Findings are the possible problems, the most certain first. It is empty if
	// none were found.
	Findings []Finding
	// Fields are the names of the signed header fields as listed by a SigV4
	// signature.
	Fields string
	// Checks is the number of checks that were made.
	Checks int
	// HasToken reports that the request has a security token.
	HasToken bool
	// Expires is the validity of a presigned request; 0 if it is not given.
	Expires time.Duration
}

// Finding is one possible problem.
type Finding struct {
	Check      Check
	Confidence Confidence
	Facts      []Fact
}

// Fact is one value that supports a finding.
type Fact struct{ Name, Value string }

// Confidence is how certain it is that a finding is the problem.
type Confidence uint8

// The confidences, the most certain first.
const (
	// ConfidenceCertain means that the request cannot be accepted, whatever the key.
	ConfidenceCertain Confidence = iota
	// ConfidenceLikely means that the form is rarely intended, and that verifiers
	// handle it differently.
	ConfidenceLikely
	// ConfidencePossible means that the form is valid if it was signed this way,
	// and a problem if it was changed after signing.
	ConfidencePossible
)

// String returns the name of the confidence.
func (c Confidence) String() string {
	return [...]string{"certain", "likely", "possible"}[min(c, ConfidencePossible)]
}

// MarshalText implements encoding.TextMarshaler.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Check is the name of one check.
type Check string

// The checks, in the order of findings that have the same confidence.
const (
	CheckUnsigned      Check = "unsigned"             // there is no signature
	CheckFormsMixed    Check = "forms_mixed"          // it is signed in two ways
	CheckAuthorization Check = "authorization_form"   // the Authorization field cannot be read
	CheckAlgorithm     Check = "algorithm"            // another than AWS4-HMAC-SHA256 or HMAC-SHA256
	CheckIncomplete    Check = "signature_incomplete" // a part of the signature is missing
	CheckNames         Check = "parameter_case"       // a parameter of the signature in another case
	CheckScopeForm     Check = "scope_form"           // the scope has not five parts
	CheckHostUnsigned  Check = "host_unsigned"        // SignedHeaders does not name host
	CheckFieldNames    Check = "signed_names"         // SignedHeaders is not lower case and sorted
	CheckScopeEnd      Check = "scope_end"            // the scope does not end in aws4_request
	CheckScopeService  Check = "scope_service"        // the scope names another service than host or action
	CheckScopeRegion   Check = "scope_region"         // the scope names another region than the host
	CheckDateForm      Check = "date_form"            // the date is not written as it must be
	CheckScopeDate     Check = "scope_date"           // the scope's day is not that of the date
	CheckDates         Check = "dates_differ"         // the request has two dates
	CheckText          Check = "signature_text"       // the signature is not 64 lower-case hexadecimal digits
	CheckPayloadHash   Check = "payload_hash"         // X-Amz-Content-Sha256 is not that of the body sent
	CheckPayloadNone   Check = "payload_unsigned"     // UNSIGNED-PAYLOAD in a request that is not presigned
	CheckFieldMissing  Check = "field_missing"        // a signed field is not there
	CheckFieldDoubled  Check = "field_doubled"        // a signed field is there more than once
	CheckHostDoubled   Check = "host_doubled"         // there is more than one Host field
	CheckHostForeign   Check = "host_foreign"         // the Host field does not name the API
	CheckHostPort      Check = "host_port"            // the Host field names a port
	CheckProxied       Check = "field_proxied"        // a signed field is one that proxies change
	CheckParamDoubled  Check = "parameter_doubled"    // a parameter is there more than once
	CheckParamTwice    Check = "parameter_twice"      // a parameter was percent-encoded twice
	CheckParamEscape   Check = "parameter_escape"     // a percent sign that escapes nothing
	CheckParamPlus     Check = "parameter_plus"       // a plus sign, which is a blank to the API
	CheckHostDiffers   Check = "host_differs"         // the request was sent to another host than its Host field
	CheckFieldValue    Check = "field_value"          // the value of a signed field that is normalised before it is signed
	CheckParamRaw      Check = "parameter_raw"        // a byte that is signed percent-encoded is sent as it is
	CheckParamCase     Check = "parameter_escapes"    // escapes in lower case, or of what needs none
	CheckParamOrder    Check = "parameter_order"      // the parameters are not sorted
	CheckPath          Check = "path_form"            // a path that is normalised, or encoded, before it is signed
	CheckGetBody       Check = "get_body"             // a GET with a body
	CheckSimpleVersion Check = "signature_version"    // SignatureVersion is not 1.0
)

// Checks lists every check.
func Checks() []Check {
	return []Check{
		CheckUnsigned, CheckFormsMixed, CheckAuthorization, CheckAlgorithm, CheckIncomplete, CheckNames,
		CheckScopeForm, CheckHostUnsigned, CheckFieldNames, CheckScopeEnd, CheckScopeService, CheckScopeRegion,
		CheckDateForm, CheckScopeDate, CheckDates, CheckText, CheckPayloadHash, CheckPayloadNone,
		CheckFieldMissing, CheckFieldDoubled, CheckHostDoubled, CheckHostForeign, CheckHostPort, CheckProxied,
		CheckParamDoubled, CheckParamTwice, CheckParamEscape, CheckParamPlus, CheckHostDiffers, CheckFieldValue,
		CheckParamRaw, CheckParamCase, CheckParamOrder, CheckPath, CheckGetBody, CheckSimpleVersion,
	}
}

// Request is a request to inspect.
type Request struct {
	Method string
	Target []byte                    // in origin form or absolute form, as received
	Host   []byte                    // where the request was sent, including the port if given
	Fields iter.Seq2[[]byte, []byte] // name and value of every header field; nil if there are none
	Body   []byte
	Extent Extent
	// ServiceOf returns the service of an action, or "" if the action is not documented
	// in that version. It must not be nil.
	ServiceOf func(action, version string) string
}

// Extent is how much of a request is available for inspection.
type Extent struct {
	Body   bool // Request.Body is all of the body
	Fields bool // Request.Fields has every field that was sent
}

// Inspect inspects how r is signed and returns the possible problems.
func Inspect(r *Request) *Result {
	i := inspection{r: r, fields: map[string][]string{}}
	i.read()
	i.inspect()
	order := Checks()
	slices.SortStableFunc(i.out.Findings, func(a, b Finding) int {
		if a.Confidence != b.Confidence {
			return int(a.Confidence) - int(b.Confidence)
		}
		return slices.Index(order, a.Check) - slices.Index(order, b.Check)
	})
	return &i.out
}
