package classify

import "github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"

// response parses the body of a response. Only top-level fields and the fields of
// known objects are used: an "error" inside the data is data.
//
// If the root is a list, only its first element is read.
func (s *scanner) response(rd *reading) {
	if s.enter('[') {
		rd.list = true
		if !s.element() {
			return
		}
	}
	if s.enter('{') {
		s.fields(rd)
		rd.whole = s.closed
	}
}

// fields reads the fields of a response.
func (s *scanner) fields(rd *reading) {
	var buf [maxKey]byte
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		s.topField(key, rd)
	}
}

// topField reads the value of one top-level field of a response.
func (s *scanner) topField(key []byte, rd *reading) {
	switch len(key) {
	case len("code"):
		if ascii.EqualFold(key, "code") {
			rd.flatCode.offerWhole(s.scalar())
			return
		}
		if ascii.EqualFold(key, "type") {
			rd.flatKind.offerWhole(s.scalar())
			return
		}
	case len("error"), len("errors"):
		if ascii.EqualFold(key, "error") || ascii.EqualFold(key, "errors") {
			s.errorValue(rd)
			return
		}
	case len("message"):
		if ascii.EqualFold(key, "message") {
			rd.flatMessage.offer(s.scalar())
			return
		}
	case len("codeDesc"): // and Response
		if ascii.EqualFold(key, "codedesc") {
			rd.flatDesc.offerWhole(s.scalar())
			return
		}
		if ascii.EqualFold(key, "response") && s.wrapper(rd) {
			return
		}
	case len("isPartial"):
		if ascii.EqualFold(key, "ispartial") {
			v := s.scalar()
			rd.partial = rd.partial || ascii.EqualFold(v.raw, "true") && !v.cut
			return
		}
	case len("errorMessage"), len("errorMessages"): // and ErrorResponse
		if ascii.EqualFold(key, "errormessage") || ascii.EqualFold(key, "errormessages") {
			s.itemErrors(rd)
			return
		}
		if ascii.EqualFold(key, "errorresponse") {
			rd.failed = rd.failed || !s.emptyValue()
			if s.wrapper(rd) {
				return
			}
		}
	case len("responseMetadata"):
		if ascii.EqualFold(key, "responsemetadata") {
			s.metadata(rd)
			return
		}
	}
	if isRequestID(key) {
		rd.requestID.offerWhole(s.scalar())
		return
	}
	rd.data = rd.data || s.dataValue() && !isEnvelope(key)
	s.skip()
}

// wrapper reads the fields of a response that is nested in one field, as in
// {"Response":{...}}. It returns false if it is not.
func (s *scanner) wrapper(rd *reading) bool {
	if s.wrapped || !s.enter('{') {
		return false
	}
	s.wrapped = true
	s.fields(rd)
	return true
}

// isEnvelope reports whether a field of that name is metadata of the response
// rather than requested data.
func isEnvelope(key []byte) bool {
	if len(key) > len("description") { // as most names of data
		return false
	}
	for _, name := range []string{"msg", "status", "success", "path", "timestamp", "time", "traceid", "detail", "details", "description", "reason"} {
		if ascii.EqualFold(key, name) {
			return true
		}
	}
	return false
}

// dataValue reports whether the next value may be data: it is not empty, 0, true
// or false.
func (s *scanner) dataValue() bool {
	c := s.peek()
	return c != '0' && c != 't' && c != 'f' && !s.emptyValue()
}

// errorValue reads the value of Error: an object, a list of objects, or a message.
func (s *scanner) errorValue(rd *reading) {
	switch s.peek() {
	case '"':
		s.errorText(rd)
	case '[':
		s.i++
		for s.element() {
			switch s.peek() {
			case '{':
				s.errorObject(rd)
			case '"':
				s.errorText(rd)
			default:
				s.skip()
			}
		}
	case '{':
		s.errorObject(rd)
	default:
		s.skip()
	}
}

// errorText reads an error that is a string.
func (s *scanner) errorText(rd *reading) {
	v := s.scalar()
	rd.failed = rd.failed || !v.empty()
	rd.message.offer(v)
}

// errorObject reads an error object. It is not an error if its code is the number
// 0 or all of its fields are empty.
func (s *scanner) errorObject(rd *reading) {
	s.i++
	var buf [maxKey]byte
	var found, fine bool
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		switch {
		case ascii.EqualFold(key, "code"):
			v := s.scalar()
			if string(v.raw) == "0" {
				fine = true
				continue
			}
			found = found || !v.empty()
			rd.code.offerWhole(v)
		case ascii.EqualFold(key, "message"):
			v := s.scalar()
			found = found || !v.empty()
			rd.message.offer(v)
		case ascii.EqualFold(key, "type"):
			v := s.scalar()
			found = found || !v.empty()
			rd.kind.offerWhole(v)
		case ascii.EqualFold(key, "innercode"):
			rd.inner.offerWhole(s.scalar())
		case isRequestID(key):
			rd.requestID.offerWhole(s.scalar())
		case ascii.EqualFold(key, "error") && !s.nested:
			s.nested = true
			s.errorValue(rd)
			s.nested = false
		default:
			found = found || !s.emptyValue()
			s.skip()
		}
	}
	rd.failed = rd.failed || found && !fine
}

// itemErrors counts the error messages of a batch, which are a list or an object
// that contains one.
func (s *scanner) itemErrors(rd *reading) {
	switch s.peek() {
	case '[':
		s.itemList(rd)
	case '{':
		s.i++
		var buf [maxKey]byte
		for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
			if s.peek() == '[' && (ascii.EqualFold(key, "errormessage") || ascii.EqualFold(key, "member")) {
				s.itemList(rd)
				continue
			}
			s.skip()
		}
	case '"':
		rd.flatMessage.offer(s.scalar()) // not a list, so it does not concern an item
	default:
		s.skip()
	}
}

// itemList counts the elements of a list of messages.
func (s *scanner) itemList(rd *reading) {
	s.i++
	for s.element() {
		if !s.emptyValue() {
			rd.items++
		}
		if s.peek() == '"' {
			rd.firstItem.offer(s.scalar())
			continue
		}
		s.skip()
	}
}

// metadata reads the request ID of responseMetadata.
func (s *scanner) metadata(rd *reading) {
	if !s.enter('{') {
		s.skip()
		return
	}
	var buf [maxKey]byte
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		if isRequestID(key) {
			rd.requestID.offerWhole(s.scalar())
			continue
		}
		s.skip()
	}
}
