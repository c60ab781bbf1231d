package classify

import "bytes"

// The fields of a response that are read.
const (
	headerRequestID = "X-Ksc-Request-Id"
	headerErrorType = "X-Ksc-Errortype"
	headerCoding    = "Content-Encoding"
)

// statusDryRun is the status of DryRunOperation.
const statusDryRun = 412

// Response reads what an answer to call means. call may be nil. It never
// fails: what cannot be read is left unknown.
//
// The status alone makes an error of 4xx, 5xx and everything above, and of 3xx
// too: no call of the API redirects, and a signature would not survive it; 304
// means success. Below 300 the body decides. An error object, an
// ErrorResponse, a page of HTML, a text in place of data, or a numeric flat
// code from 400 on without data is a masked error; messages about items, or
// isPartial, make the answer partial, with as many failed items as there are
// messages, also where all of them failed (0 where only isPartial says so). A
// flat code beside the data of a 2xx proves nothing: it is kept in Code, for
// people. DryRunOperation is a dry run whatever the status.
//
// Bodies in gzip, deflate, Brotli and Zstandard, and in UTF-16 and GB 18030
// (GBK, GB 2312), are read; Verdict.Unread says what could not be.
func (c *Classifier) Response(call *Call, r *Response) Verdict {
	v := Verdict{Status: r.Status}
	var rd reading
	d := c.read(r, &v, &rd)
	v.RequestID = requestID(r.Header, &rd)
	if v.Outcome == OutcomeSuccess {
		c.succeed(&v, &rd)
	} else {
		c.fail(&v, call, r.Header, &rd)
	}
	d.release()
	return v
}

// read finds what the body of r says, and by it how the answer ended. The
// caller releases the decoder, which may be nil, when it is done with rd.
func (c *Classifier) read(r *Response, v *Verdict, rd *reading) *decoder {
	p, d := decode(r.Body, r.Tail, get(r.Header, headerCoding), r.Truncated)
	if p.opaque {
		rd.form = FormBinary
	} else {
		p.narrow(&d)
		var hidden bool
		if p.escaped, hidden = backslashes(p.body); hidden {
			p.utf8(&d, get(r.Header, headerContentType))
		}
		p.read(rd)
		// A message should be legible, whatever it is written in.
		if !hidden && rd.form != FormBinary && outcomeOf(r, rd) != OutcomeSuccess && p.utf8(&d, get(r.Header, headerContentType)) {
			*rd = reading{}
			p.read(rd)
		}
	}
	if rd.list && r.Status < 300 {
		*rd = reading{form: rd.form, whole: rd.whole}
	}
	v.Form, v.Unread = rd.form, p.unread
	if v.Unread == UnreadLength && rd.form == FormJSON && rd.whole && p.tail == nil {
		v.Unread = UnreadNone // all that matters was there
	}
	v.Outcome = outcomeOf(r, rd)
	return d
}

// read finds what p says.
func (p *plainBody) read(rd *reading) {
	readBody(p.body, p.escaped, rd)
	readTail(p.tail, rd)
}

// RequestID returns the vendor's ID of an answer that broke off, as far as it
// came: of its head, or of the part of its body that was read.
func (c *Classifier) RequestID(r *Response) RequestID {
	var v Verdict
	var rd reading
	d := c.read(r, &v, &rd)
	defer d.release()
	return requestID(r.Header, &rd)
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
func outcomeOf(r *Response, rd *reading) Outcome {
	_, failure := rd.failureNumber()
	switch {
	case r.Status >= 300 && r.Status != 304:
		return OutcomeError
	case rd.failed || failure || rd.form == FormHTML || rd.form == FormText && !rd.plain && mayBeData(get(r.Header, headerContentType)):
		return OutcomeMasked
	case rd.items > 0 || rd.partial:
		return OutcomePartial
	}
	return OutcomeSuccess
}

// mayBeData reports whether contentType names something that an answer of the
// API is written in, or nothing.
func mayBeData(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	media = bytes.TrimSpace(media)
	if len(media) == 0 {
		return true
	}
	for _, m := range []string{"text/plain", "text/html", "text/xml", "text/javascript", "application/json", "application/xml"} {
		if equalFold(media, m) {
			return true
		}
	}
	return false
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
	if v.Status != statusDryRun || call == nil || !call.DryRun || len(code)+len(message) > 0 {
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
	} else if v.Outcome == OutcomeMasked && (v.Form == FormHTML || v.Form == FormText || v.Type == TypeReceiver) {
		// A page or a text where data should be comes from something broken on the
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

// CanonicalCode returns the code as the catalogue spells it where it knows that
// code, an alias as the alias; else the code as it came.
func (v *Verdict) CanonicalCode() string {
	if v.Match == MatchCode && v.Entry != nil {
		if known := v.Entry.spell(v.Code); known != "" {
			return known
		}
		return v.Entry.Code
	}
	return v.Code
}
