package classify

import (
	"iter"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

// Header gives access to the fields of a message head.
type Header interface {
	// Get returns the value of the first field with the given name, ignoring
	// case, or nil. The caller must not modify or retain the bytes.
	Get(name string) []byte
	// Fields yields the name and value of every field. The caller must not modify
	// or retain the bytes.
	Fields() iter.Seq2[[]byte, []byte]
}

// Request is the input of Classifier.Request.
type Request struct {
	Method string
	Target []byte // request target, origin form or absolute form, as received
	Host   []byte // authority of the request, including the port if given
	Header Header
	Body   []byte // the first bytes of the body, or all of it
}

// Response is the input of Classifier.Response.
type Response struct {
	Status    int // 100 to 999, as received
	Header    Header
	Body      []byte // the first bytes of the body, or all of it, still content-encoded
	Truncated bool   // the body continues after Body
	// Tail is the end of a body that continues after Body: at most the last
	// TailBytes, without overlap with Body. It is nil if the body was cut off or
	// its end was not kept.
	Tail []byte
}

// Verdict is the classification of an attempt.
type Verdict struct {
	Outcome  Outcome
	Code     string // the vendor's code as received; "" if there is none
	Inner    string // code of the vendor's inner error object; "" if there is none
	Type     Type
	Status   int // HTTP status; 0 if there was no response
	Category Category
	Blame    Blame
	// Retryable reports whether the same call may succeed later, unchanged.
	Retryable bool
	RequestID RequestID
	// RequestIDSource is where RequestID is from; "" means the vendor.
	RequestIDSource RequestIDSource
	// Message is the vendor's message, for failures only. Like the codes and the
	// request ID, it may quote what the program sent: see Scrub.
	Message string
	// FailedItems is the number of items that a partial response reports as failed.
	FailedItems int
	// Empty reports a success that holds lists of data points all of which are empty.
	Empty bool
	// Entry is the matching catalogue entry; nil if there is none.
	Entry *Entry
	// Match is the part of the response that Entry was matched by.
	Match Match
	// Form is the format of the body.
	Form Form
	// Unread is why a part of the body was not read. An error in that part would
	// have been missed. It is UnreadNone if all of the body was read.
	Unread Unread
}

// NotAuthenticated reports whether the attempt was refused because of its
// signature, key or time.
func (v *Verdict) NotAuthenticated() bool {
	return v.Outcome.Failed() && (v.Category == CategoryAuth || v.Category == CategoryClock)
}

// Unread is why a body, or a part of it, was not read. It is the label reason of
// ksyun_tap_unread_bodies_total.
type Unread string

// The reasons.
const (
	UnreadNone    Unread = ""
	UnreadLength  Unread = "length"  // it is longer than the limit for kept or decompressed bytes
	UnreadCoding  Unread = "coding"  // its content coding is unknown or does not match the bytes
	UnreadCharset Unread = "charset" // its character set is unknown or does not match the bytes
	UnreadMemory  Unread = "memory"  // the memory for buffers was exhausted
)

// UnreadReasons lists every reason.
func UnreadReasons() []Unread {
	return []Unread{UnreadLength, UnreadCoding, UnreadCharset, UnreadMemory}
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess  Outcome = "success"
	OutcomeError    Outcome = "error"    // the vendor, or a proxy in front of it, responded with an error status
	OutcomePartial  Outcome = "partial"  // a 2xx response with errors for some items
	OutcomeMasked   Outcome = "masked"   // a 2xx response that is really an error
	OutcomeDryRun   Outcome = "dry_run"  // 412 DryRunOperation: the call would have succeeded
	OutcomeCanceled Outcome = "canceled" // the program went away first
	OutcomeProxy    Outcome = "proxy"    // the tap or the network failed before there was a response
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{OutcomeSuccess, OutcomeError, OutcomePartial, OutcomeMasked, OutcomeDryRun, OutcomeCanceled, OutcomeProxy}
}

// Failed reports whether the outcome is a failure. Calls canceled by the program
// and dry runs are not failures.
func (o Outcome) Failed() bool {
	switch o {
	case OutcomeError, OutcomePartial, OutcomeMasked, OutcomeProxy:
		return true
	default:
		return false
	}
}

// Type is the vendor's statement on who caused an error, in lower case. The older
// values "client" and "server" are mapped to sender and receiver.
type Type string

// The types.
const (
	TypeSender   Type = "sender"
	TypeReceiver Type = "receiver"
	TypeUnknown  Type = "unknown"
)

// Types lists every type.
func Types() []Type { return []Type{TypeSender, TypeReceiver, TypeUnknown} }

// Category is why an attempt failed; "" if it did not fail.
type Category string

// The categories.
const (
	CategoryAuth       Category = "auth"
	CategoryClock      Category = "clock"
	CategoryPermission Category = "permission"
	CategoryThrottled  Category = "throttled"
	CategoryRequest    Category = "request"
	CategoryNotFound   Category = "not_found"
	CategoryTooLarge   Category = "too_large"
	CategoryServer     Category = "server"
	CategoryTimeout    Category = "timeout"
	CategoryNetwork    Category = "network"
	CategoryUnknown    Category = "unknown"
)

// Categories lists every category.
func Categories() []Category {
	return []Category{
		CategoryAuth, CategoryClock, CategoryPermission, CategoryThrottled,
		CategoryRequest, CategoryNotFound, CategoryTooLarge, CategoryServer,
		CategoryTimeout, CategoryNetwork, CategoryUnknown,
	}
}

// Blame is who is to blame for a failure; "" for an attempt that did not fail.
type Blame string

// The values of Blame.
const (
	BlameClient     Blame = "client"     // the program: the request was wrong
	BlameCredential Blame = "credential" // key, signature, clock or policy
	BlameQuota      Blame = "quota"      // a limit of the vendor was exceeded
	BlameProvider   Blame = "provider"   // the vendor
	BlameNetwork    Blame = "network"    // the network between the tap and the vendor
	BlameTap        Blame = "tap"        // ksyun-tap
)

// Blames lists every value of Blame.
func Blames() []Blame {
	return []Blame{BlameClient, BlameCredential, BlameQuota, BlameProvider, BlameNetwork, BlameTap}
}

// Match is the part of a response by which a catalogue entry was matched.
type Match string

// The matches, from the strongest to the weakest.
const (
	MatchCode    Match = "code"
	MatchMessage Match = "message" // status and message pattern
	MatchStatus  Match = "status"  // status alone
	MatchFault   Match = "fault"   // no response; matched by the transport's fault
	MatchNone    Match = ""
)

// Form is the format of a response body.
type Form string

// The forms.
const (
	FormEmpty  Form = "empty"
	FormJSON   Form = "json"
	FormXML    Form = "xml"
	FormHTML   Form = "html"
	FormText   Form = "text"   // printable, none of the above
	FormBinary Form = "binary" // not text, or in a content coding that could not be decoded
)

// MaxRequestID is the maximum length of a request ID in bytes. The vendor's
// request IDs are UUIDs of 36 bytes.
const MaxRequestID = 64

// RequestIDSource is where the request ID of an attempt is from.
type RequestIDSource string

// The sources of request IDs. Only the vendor can look up RequestIDVendor.
const (
	RequestIDVendor  RequestIDSource = "vendor"  // the vendor's response
	RequestIDProgram RequestIDSource = "program" // the program's request, if there is none in the response
	RequestIDTap     RequestIDSource = "tap"     // ksyun-tap's own response, made by ksyun-tap
)

// RequestIDSources lists every source.
func RequestIDSources() []RequestIDSource {
	return []RequestIDSource{RequestIDVendor, RequestIDProgram, RequestIDTap}
}

// RequestID is the ID of one call. It is stored by value to avoid allocations.
// The zero value means that there is no ID.
type RequestID struct {
	b    [MaxRequestID]byte
	n    uint8
	uuid bool // it has the form of a UUID
}

// MakeRequestID returns the ID in b. It returns the zero value if b is empty,
// longer than MaxRequestID, looks like an access key, or contains anything but
// printable ASCII without spaces, quotes, backslashes and angle brackets.
func MakeRequestID[T string | []byte](b T) (id RequestID) {
	setRequestID(&id, b)
	return id
}

// setRequestID sets id, which is zero, to MakeRequestID(b).
func setRequestID[T string | []byte](id *RequestID, b T) {
	if len(b) == 0 || len(b) > MaxRequestID {
		return
	}
	copy(id.b[:], b)
	id.n = uint8(len(b)) //nolint:gosec // at most MaxRequestID
	if id.uuid = redact.IsUUID(b); id.uuid {
		return
	}
	for _, c := range id.b[:id.n] {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '\\' || c == '<' || c == '>' {
			*id = RequestID{}
			return
		}
	}
	if redact.LooksKey(id.b[:id.n]) {
		*id = RequestID{}
	}
}

// IsZero reports whether there is no ID.
func (id RequestID) IsZero() bool { return id.n == 0 }

// Len returns the length of the ID in bytes.
func (id RequestID) Len() int { return int(id.n) }

// String returns the ID as text, or "" if there is none.
func (id RequestID) String() string { return string(id.b[:id.n]) }

// UUID4 returns the ID as a UUID of version 4 (RFC 9562). It returns false if the ID is
// not one. The case of its digits does not matter.
func (id *RequestID) UUID4() (uuid [16]byte, ok bool) {
	if !id.uuid || id.b[14] != '4' {
		return uuid, false
	}
	text := id.b[:]
	for i := range uuid {
		if text[0] == '-' {
			text = text[1:]
		}
		uuid[i] = byte(unescape.Hex(text)) //nolint:gosec // two hexadecimal digits
		text = text[2:]
	}
	return uuid, uuid[8]>>6 == 0b10
}

// AppendTo appends the text of the ID to dst.
func (id *RequestID) AppendTo(dst []byte) []byte { return append(dst, id.b[:id.n]...) }
