package classify

import "iter"

// Header gives access to the fields of a message head.
type Header interface {
	// Get returns the value of the first field of that name, compared without
	// case, or nil. The bytes are not to be changed or kept.
	Get(name string) []byte
	// Fields yields name and value of every field. The bytes are not to be
	// changed or kept.
	Fields() iter.Seq2[[]byte, []byte]
}

// Request is what is read of a request.
type Request struct {
	Method string
	Target []byte // request target, origin form or absolute form, as received
	Host   []byte // authority the request is for, port included where given
	Header Header
	Body   []byte // the first bytes of the body, or all of it
}

// Response is what is read of a response.
type Response struct {
	Status    int // 100 to 999, as received
	Header    Header
	Body      []byte // the first bytes of the body, or all of it, content codings included
	Truncated bool   // the body went on after Body
	// Tail is the end of a body that went on after Body: at most its last
	// TailBytes, and nothing that is in Body. nil where the body broke off, or
	// was not kept.
	Tail []byte
}

// Verdict is what an attempt's answer meant.
type Verdict struct {
	Outcome  Outcome
	Code     string // the vendor's code as it came on the wire; "" without one
	Inner    string // the vendor's inner code (E5), "" without one
	Type     Type
	Status   int // HTTP status; 0 without a response
	Category Category
	Blame    Blame
	// Retryable tells whether the same call may succeed later, unchanged.
	Retryable bool
	RequestID RequestID
	// Message is the vendor's message, of failures only. Like the codes and the
	// request ID it may quote what the program sent: see Scrub.
	Message string
	// FailedItems counts the items a partial answer reports as failed.
	FailedItems int
	// Entry is the catalogue's row that decided; nil if none did.
	Entry *Entry
	// Match tells what of the answer led to Entry.
	Match Match
	// Form is how the body was written.
	Form Form
	// Unread is why a part of the body was not read, so that an error in it
	// would have been missed; UnreadNone if all of it was.
	Unread Unread
}

// NotAuthenticated reports whether the attempt was refused for its signature, its
// key or its time.
func (v *Verdict) NotAuthenticated() bool {
	return v.Outcome.Failed() && (v.Category == CategoryAuth || v.Category == CategoryClock)
}

// Unread is why a body, or a part of it, was not read. It is the reason label
// of ksyun_tap_unread_bodies_total.
type Unread string

// The reasons.
const (
	UnreadNone    Unread = ""
	UnreadLength  Unread = "length"  // it is longer than what is kept, or decompressed, of one
	UnreadCoding  Unread = "coding"  // its content coding is unknown, or it is not in that coding
	UnreadCharset Unread = "charset" // its character set is unknown, or it is not in that set
	UnreadMemory  Unread = "memory"  // there was no memory to keep it
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
	OutcomeError    Outcome = "error"    // the vendor, or something before it, answered with an error status
	OutcomePartial  Outcome = "partial"  // a 2xx that carries errors for some items
	OutcomeMasked   Outcome = "masked"   // a 2xx that is really an error
	OutcomeDryRun   Outcome = "dry_run"  // 412 DryRunOperation: the call would have succeeded
	OutcomeCanceled Outcome = "canceled" // the program went away first
	OutcomeProxy    Outcome = "proxy"    // the tap or the network failed before an answer
)

// Failed reports whether the program did not get what it asked for, other than
// by its own leave.
func (o Outcome) Failed() bool {
	switch o {
	case OutcomeError, OutcomePartial, OutcomeMasked, OutcomeProxy:
		return true
	default:
		return false
	}
}

// Type is the vendor's word on who caused an error, case folded; the older
// "client" and "server" are read as sender and receiver.
type Type string

// The types.
const (
	TypeSender   Type = "sender"
	TypeReceiver Type = "receiver"
	TypeUnknown  Type = "unknown"
)

// Category is why an attempt failed; "" for one that did not.
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

// Blame is whose doing a failure was; "" for an attempt that did not fail.
type Blame string

// The blamed.
const (
	BlameClient     Blame = "client"     // the program asked for the wrong thing
	BlameCredential Blame = "credential" // key, signature, clock or policy
	BlameQuota      Blame = "quota"      // more than the vendor allows
	BlameProvider   Blame = "provider"   // the vendor
	BlameNetwork    Blame = "network"    // the way to the vendor
	BlameTap        Blame = "tap"        // ksyun-tap
)

// Match tells what of an answer led to a row of the catalogue.
type Match string

// The matches, from the strongest to the weakest.
const (
	MatchCode    Match = "code"
	MatchMessage Match = "message" // status and message pattern
	MatchStatus  Match = "status"  // status alone
	MatchFault   Match = "fault"   // no answer: the transport's fault
	MatchNone    Match = ""
)

// Form is how a response body was written.
type Form string

// The forms.
const (
	FormEmpty  Form = "empty"
	FormJSON   Form = "json"
	FormXML    Form = "xml"
	FormHTML   Form = "html"
	FormText   Form = "text"   // printable, none of the above
	FormBinary Form = "binary" // not text, or in a content coding that could not be undone
)

// MaxRequestID is the longest request ID that is kept, in bytes. The vendor's
// are UUIDs of 36.
const MaxRequestID = 64

// RequestID is the vendor's ID of one call. It is kept by value, so that
// reading one allocates nothing. The zero value is no ID.
type RequestID struct {
	b [MaxRequestID]byte
	n uint8
}

// MakeRequestID returns the ID spelled by b. An ID that is empty, longer than
// MaxRequestID or holds anything but printable ASCII without blanks, quotes,
// backslashes and angle brackets is none: it could not be looked up, and it
// is a stranger's text. Nor is one that looks like a key.
func MakeRequestID[T string | []byte](b T) RequestID {
	var id RequestID
	if len(b) == 0 || len(b) > MaxRequestID {
		return id
	}
	for i := range len(b) {
		switch c := b[i]; {
		case c <= ' ', c >= 0x7f, c == '"', c == '\'', c == '\\', c == '<', c == '>':
			return RequestID{}
		default:
			id.b[i] = c
		}
	}
	if uuidLength(id.b[:len(b)]) != len(b) && looksKey(id.b[:len(b)]) {
		return RequestID{}
	}
	id.n = uint8(len(b)) //nolint:gosec // at most MaxRequestID
	return id
}

// IsZero reports whether there is no ID.
func (id RequestID) IsZero() bool { return id.n == 0 }

// Len is the ID's length in bytes.
func (id RequestID) Len() int { return int(id.n) }

// String spells the ID; "" if there is none.
func (id RequestID) String() string { return string(id.b[:id.n]) }

// AppendTo appends the ID's text to dst.
func (id *RequestID) AppendTo(dst []byte) []byte { return append(dst, id.b[:id.n]...) }
