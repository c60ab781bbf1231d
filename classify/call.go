package classify

import "time"

// Call is what a request asked of the API. The strings are safe to keep and
// hold no secret; "" is unknown.
type Call struct {
	Service string // "monitor"; lower case
	Action  string // "GetMetricStatistics", a documented one as documented, else as sent; or SeveralActions
	Version string // "2010-05-25", as sent; not always a date
	Region  string // "cn-beijing-6"; lower case
	Host    string // the host the request was for, lower case, without port
	Signing Signing
	// SignedAt is the request's own idea of the time; zero where it gave none
	// that could be read.
	SignedAt time.Time
	// DryRun tells that the request asked not to be carried out.
	DryRun bool
	// Unread is why a part of the request's body was not read; the collector,
	// which knows, sets it.
	Unread Unread
}

// SeveralActions is the action of a request that names more than one in its
// query and form. Which of them the vendor carries out is not known.
const SeveralActions = "_several"

// Signing is how a request was signed.
type Signing string

// The ways of signing (DOMAIN 4b of the API's facts).
const (
	SigningNone      Signing = "none"
	SigningSigV4     Signing = "sigv4"     // Authorization field
	SigningPresigned Signing = "presigned" // X-Amz-* in the query
	SigningSimple    Signing = "simple"    // Accesskey and Signature parameters
)

// Secrets are the parts of a request that must not leave the tap. They alias
// the request's bytes, undecoded; nil is absent.
type Secrets struct {
	AccessKey []byte
	Signature []byte
	Token     []byte // the security token
}
