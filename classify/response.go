package classify

import (
	"bytes"
	"net/http"
)

// The fields of a response that are read.
const (
	headerRequestID = "X-Ksc-Request-Id"
	headerErrorType = "X-Ksc-Errortype"
	headerCoding    = "Content-Encoding"
)

// Response reads what an answer to call means. call may be nil. It never
// fails: what cannot be read is left unknown.
//
// The status alone makes an error of 4xx, 5xx and everything above, and of 3xx
// too: no call of the API redirects, and a signature would not survive it; 304
// tells of success. Below 300 the body decides. An error object, an
// ErrorResponse or a page of HTML is a masked error; messages about items, or
// isPartial, make the answer partial, with as many failed items as there are
// messages, also where all of them failed (0 where only isPartial tells). A
// flat code beside the data of a 2xx proves nothing: it is kept in Code, for
// people. DryRunOperation is a dry run whatever the status.
func (c *Classifier) Response(call *Call, r *Response) Verdict {
	v := Verdict{Status: r.Status}
	var rd reading
	p, f := decode(r.Body, r.Tail, get(r.Header, headerCoding))
	if p.readable {
		readBody(p.body, &rd)
		readTail(p.tail, &rd)
	} else {
		rd.form = FormBinary
	}
	v.Form = rd.form
	v.RequestID = requestID(r.Header, &rd)

	v.Outcome = outcomeOf(r.Status, &rd)
	if v.Outcome == OutcomeSuccess {
		c.succeed(&v, &rd)
	} else {
		c.fail(&v, call, r.Header, &rd)
	}
	f.release()
	return v
}

// get returns a field of h, which may be nil.
func get(h Header, name string) []byte {
	if h == nil {
		return nil
	}
	return h.Get(name)
}

// requestID takes the ID from the field, else from the body.
func requestID(h Header, rd *reading) RequestID {
	if id := MakeRequestID(bytes.TrimSpace(get(h, headerRequestID))); !id.IsZero() {
		return id
	}
	if rd.requestID.raw == nil {
		return RequestID{}
	}
	// Most IDs are written as they are. In XML an ampersand begins an entity.
	raw := bytes.TrimSpace(rd.requestID.raw)
	if rd.requestID.esc != escapeXML || bytes.IndexByte(raw, '&') < 0 {
		if id := MakeRequestID(raw); !id.IsZero() {
			return id
		}
	}
	var buf [2 * MaxRequestID]byte // room to see that an ID is too long
	return MakeRequestID(clean(buf[:0], rd.requestID))
}

// outcomeOf tells how an answer ended, by its status and by what its body
// says.
func outcomeOf(status int, rd *reading) Outcome {
	switch {
	case status >= http.StatusMultipleChoices && status != http.StatusNotModified:
		return OutcomeError
	case rd.failed || rd.form == FormHTML:
		return OutcomeMasked
	case rd.items > 0 || rd.partial:
		return OutcomePartial
	}
	return OutcomeSuccess
}

// succeed fills in what a success may carry: a flat code.
func (c *Classifier) succeed(v *Verdict, rd *reading) {
	flat := rd.bestCode()
	if flat.raw == nil {
		return
	}
	var text, folded [maxCode]byte
	code := clean(text[:0], flat)
	v.Code = c.strings.get(code)
	for _, r := range c.catalog.byCode[string(appendLower(folded[:0], code))] {
		if r.entry.DryRun {
			v.Outcome, v.Entry, v.Match = OutcomeDryRun, r.entry, MatchCode
		}
	}
}

// fail fills in a failure, whose outcome is set: what the vendor said, the row
// of the catalogue that speaks for it, and what follows from both.
func (c *Classifier) fail(v *Verdict, call *Call, h Header, rd *reading) {
	var codeText, innerText, codeFold [maxCode]byte
	var messageText [maxMessage]byte

	codeField, messageField := rd.bestCode(), rd.bestMessage()
	switch {
	case v.Outcome == OutcomePartial:
		// A flat code speaks for the whole answer, not for its items.
		codeField, messageField = field{}, rd.firstItem
	case codeField.raw == nil:
		codeField = field{raw: errorType(h)}
	}
	code := clean(codeText[:0], codeField)
	message := clean(messageText[:0], messageField)

	a := answer{
		status:  v.Status,
		code:    appendLower(codeFold[:0], code),
		message: message,
		masked:  v.Outcome != OutcomeError,
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
	v.Inner = c.strings.get(clean(innerText[:0], rd.inner))
	v.Message = c.keepMessage(v.Entry, message)
	v.Type = typeOf(rd)
	c.judge(v)
	if v.Outcome == OutcomePartial {
		v.FailedItems = rd.items
	}
}

// blindDryRun returns the row of a dry run if call was one, the status is the
// one it ends with, and nothing in the answer says otherwise.
func (c *Classifier) blindDryRun(v *Verdict, call *Call, code, message []byte) *Entry {
	if v.Status != http.StatusPreconditionFailed || call == nil || !call.DryRun || len(code)+len(message) > 0 {
		return nil
	}
	return c.dryRun
}

// judge fills in category, blame and what else follows from the row and from
// the vendor's type.
func (c *Classifier) judge(v *Verdict) {
	if e := v.Entry; e != nil {
		v.Category, v.Retryable = e.Category, e.Retryable
		if v.Type == TypeUnknown {
			v.Type = e.Type
		}
	} else if v.Outcome == OutcomeMasked && (v.Form == FormHTML || v.Type == TypeReceiver) {
		// A page where data should be comes from something broken on the
		// vendor's side.
		v.Category, v.Retryable = CategoryServer, true
	} else {
		v.Category = CategoryUnknown
	}
	v.Blame = blameOf(v.Category, v.Type)
}

// clean writes f to dst, which is empty and whose capacity bounds it.
func clean(dst []byte, f field) []byte {
	if f.raw == nil {
		return dst
	}
	return appendField(dst, f)
}

// appendLower appends b in lower case.
func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lower(c))
	}
	return dst
}

// errorType returns the code of the field x-ksc-ErrorType, without what may
// follow behind a colon.
func errorType(h Header) []byte {
	value := get(h, headerErrorType)
	if i := bytes.IndexByte(value, ':'); i >= 0 {
		value = value[:i]
	}
	return value
}

// typeOf folds the vendor's type.
func typeOf(rd *reading) Type {
	kind := rd.kind
	if kind.raw == nil {
		kind = rd.flatKind
	}
	raw := bytes.TrimSpace(kind.raw)
	switch {
	case equalFold(raw, "sender"), equalFold(raw, "client"):
		return TypeSender
	case equalFold(raw, "receiver"), equalFold(raw, "server"):
		return TypeReceiver
	}
	return TypeUnknown
}

// keepCode returns code as a string, the catalogue's own where it has it.
func (c *Classifier) keepCode(e *Entry, code []byte) string {
	if e != nil && e.Code == string(code) {
		return e.Code
	}
	return c.strings.get(code)
}

// keepMessage returns message as a string, the catalogue's own where it has
// it.
func (c *Classifier) keepMessage(e *Entry, message []byte) string {
	if e != nil && e.Example == string(message) {
		return e.Example
	}
	return string(message)
}

// Fault is the verdict on an attempt that got no whole answer: status is that
// of the answer that broke off, 0 if none began.
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

// CanonicalCode returns the catalogue's spelling of the code where the code
// decided, else the code as it came.
func (v *Verdict) CanonicalCode() string {
	if v.Match == MatchCode && v.Entry != nil {
		return v.Entry.Code
	}
	return v.Code
}
