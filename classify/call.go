package classify

import "time"

// Call is the API call that a request makes. The strings may be retained and
// contain no secrets. "" means unknown.
type Call struct {
	Service string // "monitor"; lower case
	Action  string // "GetMetricStatistics", spelled as documented or else as sent; or SeveralActions
	Version string // "2010-05-25", as sent; not always a date
	Region  string // "cn-beijing-6"; lower case
	Host    string // host of the request, lower case, without port
	Signing Signing
	// SignedAt is the signing time given by the request. It is zero if there is
	// none or it cannot be parsed.
	SignedAt time.Time
	// DryRun reports that the request asks for a dry run.
	DryRun bool
	// Fingerprint identifies what the request asks for, so that attempts of one call
	// have the same one: see fingerprint. It is 0 if it is not known. It is only
	// comparable within one process.
	Fingerprint uint64
	// Unread is why a part of the request body was not read. It is set by the
	// collector.
	Unread Unread
}

// SeveralActions is the action of a request that names different actions in its
// query and form. It is not known which of them the vendor executes.
const SeveralActions = "_several"

// Signing is how a request was signed.
type Signing string

// The ways of signing that the API accepts.
const (
	SigningNone      Signing = "none"
	SigningSigV4     Signing = "sigv4"     // Authorization field
	SigningPresigned Signing = "presigned" // X-Amz-* in the query
	SigningSimple    Signing = "simple"    // Accesskey and Signature parameters
)

// Secrets holds the parts of a request that must not leave the tap. The slices
// alias the bytes of the request, undecoded. nil means absent.
type Secrets struct {
	AccessKey []byte
	Signature []byte
	Token     []byte // the security token
}
