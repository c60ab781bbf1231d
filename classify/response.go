package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// The fields of a response that are read.
const (
	headerRequestID = "X-Ksc-Request-Id"
	headerErrorType = "X-Ksc-Errortype"
	headerCoding    = "Content-Encoding"
)

// statusDryRun is the status of DryRunOperation.
const statusDryRun = 412

// Response classifies the response to call. call may be nil. Response never
// fails: what cannot be read is left unknown.
//
// A status of 300 or above is an error, except for 304, which is a success, and so is
// an interim status (1xx), which is a final one only if nobody asked for it. Redirects (3xx) are errors because the API never redirects and a signature
// would not be valid at the new location. For a status below 300, the body
// decides:
//
//   - An error object, an ErrorResponse, an HTML page, text instead of data, or
//     a top-level code without data is a masked error, if the code is a number of
//     400 or above, or a name that the catalogue has for an error.
//   - Error messages about items, or isPartial, make the response partial.
//     FailedItems is the number of messages, even if all items failed; it is 0
//     if there is only isPartial.
//   - Any other top-level code does not indicate an error. It is kept in Code for
//     information.
//
// DryRunOperation is a dry run, whatever the status.
//
// Bodies compressed with gzip, deflate, Brotli and Zstandard, and texts in UTF-16
// and GB 18030 (including GBK and GB 2312) are decoded. Verdict.Unread gives the
// reason if a part of the body could not be read.
func (c *Classifier) Response(call *Call, r *Response) (v Verdict) {
	v.Status = r.Status
	var rd reading
	d := c.read(r, &v, &rd)
	readRequestID(&v.RequestID, r.Header, &rd)
	if v.Outcome == OutcomeSuccess {
		c.succeed(&v, &rd)
		v.Empty = call != nil && rd.empty(call.Action)
	} else {
		c.fail(&v, call, r.Header, &rd)
	}
	d.release()
	return v
}

// read parses the body of r and determines the outcome. The caller must release
// the decoder, which may be nil, when it has finished using rd.
func (c *Classifier) read(r *Response, v *Verdict, rd *reading) *decoder {
	p, d := decode(r.Body, r.Tail, r.Header, r.Truncated)
	if p.opaque {
		rd.form = FormBinary
		v.Outcome = c.outcome(r, rd)
	} else {
		p.narrow(&d)
		hidden := hiddenBackslash(p.body)
		if hidden {
			p.utf8(&d, get(r.Header, headerContentType))
		}
		p.read(rd)
		v.Outcome = c.outcome(r, rd)
		// Convert the message to UTF-8.
		if !hidden && rd.form != FormBinary && v.Outcome != OutcomeSuccess && p.utf8(&d, get(r.Header, headerContentType)) {
			*rd = reading{}
			p.read(rd)
			v.Outcome = c.outcome(r, rd)
		}
	}
	if rd.list && r.Status < 300 {
		*rd = reading{form: rd.form, whole: rd.whole}
		v.Outcome = c.outcome(r, rd)
	}
	v.Form, v.Unread = rd.form, p.unread
	if v.Unread == UnreadLength && rd.form == FormJSON && rd.whole && p.tail == nil {
		v.Unread = UnreadNone // everything relevant was read
	}
	if p.unread == UnreadNone {
		rd.body = p.body
	}
	return d
}

// read parses the body p.
func (p *plainBody) read(rd *reading) {
	readBody(p.body, rd)
	readTail(p.tail, rd)
}

// RequestID returns the request ID of an incomplete response, from its header or
// from the part of the body that was received.
func (c *Classifier) RequestID(r *Response) RequestID {
	var v Verdict
	var rd reading
	d := c.read(r, &v, &rd)
	defer d.release()
	readRequestID(&v.RequestID, r.Header, &rd)
	return v.RequestID
}

// get returns the value of a field of h, which may be nil.
func get(h Header, name string) []byte {
	if h == nil {
		return nil
	}
	return h.Get(name)
}

// AdoptRequestID sets the request ID of a failed attempt to the one that the
// program sent in the header of its request, if the attempt has no other.
func (v *Verdict) AdoptRequestID(request Header) {
	if !v.RequestID.IsZero() || !v.Outcome.Failed() {
		return
	}
	if id := MakeRequestID(bytes.TrimSpace(get(request, headerRequestID))); !id.IsZero() {
		v.RequestID, v.RequestIDSource = id, RequestIDProgram
	}
}

// readRequestID sets id, which is zero, to the ID from the header field, or else from the
// body.
func readRequestID(id *RequestID, h Header, rd *reading) {
	setRequestID(id, bytes.TrimSpace(get(h, headerRequestID)))
	if !id.IsZero() || rd.requestID.raw == nil {
		return
	}
	// Most IDs contain no escapes. In XML, an ampersand begins an entity.
	raw := bytes.TrimSpace(rd.requestID.raw)
	if rd.requestID.esc != escapeXML || bytes.IndexByte(raw, '&') < 0 {
		if setRequestID(id, raw); !id.IsZero() {
			return
		}
	}
	var buf [2 * MaxRequestID]byte // large enough to detect that an ID is too long
	setRequestID(id, clean(buf[:0], rd.requestID))
}

// outcome returns the outcome of a response with the given status and body.
func (c *Classifier) outcome(r *Response, rd *reading) Outcome {
	switch {
	case r.Status >= 300 && r.Status != 304, r.Status/100 == 1:
		return OutcomeError
	case rd.failed || c.flatFailure(rd) || rd.form == FormHTML || rd.form == FormText && !rd.plain && mayBeData(get(r.Header, headerContentType)):
		return OutcomeMasked
	case rd.items > 0 || rd.partial:
		return OutcomePartial
	}
	return OutcomeSuccess
}

// flatFailure reports whether a top-level code means a failure, and the response
// contains nothing else: a number that is a status of a failure, or a name that the
// catalogue has for one.
func (c *Classifier) flatFailure(rd *reading) bool {
	if rd.data || rd.list || !rd.whole || rd.flatCode.raw == nil {
		return false
	}
	if isNumber(rd.flatCode.raw) {
		return number10(rd.flatCode.raw) >= 400
	}
	var codeText, codeFold [maxCode]byte
	var messageText [maxMessage]byte
	e := c.catalog.matchCode(&failedResponse{
		code:    ascii.AppendLower(codeFold[:0], clean(codeText[:0], rd.flatCode)),
		message: clean(messageText[:0], rd.bestMessage()),
		is2xx:   true,
	})
	return e != nil && !e.DryRun
}

// mayBeData reports whether contentType is empty or a media type that the API uses
// for its responses.
func mayBeData(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	media = bytes.TrimSpace(media)
	if len(media) == 0 {
		return true
	}
	for _, m := range []string{"text/plain", "text/html", "text/xml", "text/javascript", "application/json", "application/xml"} {
		if ascii.EqualFold(media, m) {
			return true
		}
	}
	return false
}

// succeed fills in the verdict of a success, which may have a top-level code.
func (c *Classifier) succeed(v *Verdict, rd *reading) {
	flat := rd.bestCode()
	if flat.raw == nil {
		return
	}
	var text, folded [maxCode]byte
	code := clean(text[:0], flat)
	v.Code = c.words.get(code)
	for _, r := range c.catalog.byCode[string(ascii.AppendLower(folded[:0], code))] {
		if r.entry.DryRun {
			v.Outcome, v.Entry, v.Match = OutcomeDryRun, r.entry, MatchCode
		}
	}
}

// fail fills in the verdict of a failure, whose outcome is already set, from the
// vendor's error and the matching catalogue entry.
func (c *Classifier) fail(v *Verdict, call *Call, h Header, rd *reading) {
	var codeText, innerText, codeFold [maxCode]byte
	var messageText [maxMessage]byte

	codeField, messageField := rd.bestCode(), rd.bestMessage()
	switch {
	case v.Outcome == OutcomePartial:
		// A top-level code describes the whole response, not its items.
		codeField, messageField = field{}, rd.firstItem
	case codeField.raw == nil:
		codeField = field{raw: errorType(h)}
	}
	code := clean(codeText[:0], codeField)
	message := clean(messageText[:0], messageField)

	a := failedResponse{
		status:  v.Status,
		code:    ascii.AppendLower(codeFold[:0], code),
		message: message,
		is2xx:   v.Outcome != OutcomeError,
	}
	v.Entry, v.Match = c.catalog.match(&a)
	if e := c.blindDryRun(v, call, code, message); e != nil {
		v.Entry, v.Match = e, MatchStatus
	}
	v.Code = c.keepCode(v.Entry, code)
	if v.Entry != nil && v.Entry.DryRun {
		v.Outcome = OutcomeDryRun
		return
	}
	v.Inner = c.words.get(clean(innerText[:0], rd.inner))
	v.Message = c.keepMessage(v.Entry, message)
	v.Type = typeOf(rd)
	c.judge(v)
	if v.Outcome == OutcomePartial {
		v.FailedItems = rd.items
	}
}

// blindDryRun returns the entry for dry runs if call was one, the status is that
// of a dry run, and nothing in the response contradicts it.
func (c *Classifier) blindDryRun(v *Verdict, call *Call, code, message []byte) *Entry {
	if v.Status != statusDryRun || call == nil || !call.DryRun || len(code)+len(message) > 0 {
		return nil
	}
	return c.dryRun
}

// judge fills in category, blame and the other fields that follow from the entry
// and the vendor's error type.
func (c *Classifier) judge(v *Verdict) {
	if e := v.Entry; e != nil {
		v.Category, v.Retryable = e.Category, e.Retryable
		if v.Type == TypeUnknown {
			v.Type = e.Type
		}
	} else if v.Outcome == OutcomeMasked && (v.Form == FormHTML || v.Form == FormText || v.Type == TypeReceiver) {
		// An HTML page or text instead of data comes from a failure on the
		// vendor's side.
		v.Category, v.Retryable = CategoryServer, true
	} else {
		v.Category = CategoryUnknown
	}
	v.Blame = blameOf(v.Category, v.Type)
}

// clean appends the text of f to dst, which is empty, up to the capacity of dst.
func clean(dst []byte, f field) []byte {
	if f.raw == nil {
		return dst
	}
	return appendField(dst, f)
}

// errorType returns the code in the header field x-ksc-ErrorType, up to the first
// colon.
func errorType(h Header) []byte {
	value := get(h, headerErrorType)
	if i := bytes.IndexByte(value, ':'); i >= 0 {
		value = value[:i]
	}
	return value
}

// typeOf returns the Type for the vendor's error type.
func typeOf(rd *reading) Type {
	kind := rd.kind
	if kind.raw == nil {
		kind = rd.flatKind
	}
	raw := bytes.TrimSpace(kind.raw)
	switch {
	case ascii.EqualFold(raw, "sender"), ascii.EqualFold(raw, "client"):
		return TypeSender
	case ascii.EqualFold(raw, "receiver"), ascii.EqualFold(raw, "server"):
		return TypeReceiver
	}
	return TypeUnknown
}

// keepCode returns code as a string, without allocating if the catalogue contains it.
func (c *Classifier) keepCode(e *Entry, code []byte) string {
	if e != nil && e.Code == string(code) {
		return e.Code
	}
	return c.words.get(code)
}

// keepMessage returns message as a string, without allocating if the catalogue
// contains it.
func (c *Classifier) keepMessage(e *Entry, message []byte) string {
	if e != nil && e.Example == string(message) {
		return e.Example
	}
	return string(message)
}

// Fault returns the verdict for an attempt without a complete response. status is
// that of the incomplete response, or 0 if there was none.
func (c *Classifier) Fault(f Fault, status int) Verdict {
	v := Verdict{Status: status, Outcome: OutcomeProxy, Type: TypeUnknown, Category: CategoryUnknown, Blame: BlameTap, Match: MatchFault}
	if f == FaultCanceled {
		return Verdict{Status: status, Outcome: OutcomeCanceled, Match: MatchFault}
	}
	if e := c.catalog.byFault[f]; e != nil {
		v.Entry, v.Category, v.Blame, v.Retryable = e, e.Category, e.Blame, e.Retryable
	}
	return v
}

// CanonicalCode returns code in the spelling of the catalogue; an alias stays an
// alias. It returns code unchanged if the catalogue does not contain it.
func (v *Verdict) CanonicalCode() string {
	if v.Match == MatchCode && v.Entry != nil {
		if known := v.Entry.spell(v.Code); known != "" {
			return known
		}
		return v.Entry.Code
	}
	return v.Code
}
