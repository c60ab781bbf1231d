package classify

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// checkReference compares what the scanner finds in b, which must be valid
// JSON, with what encoding/json finds.
func checkReference(t *testing.T, b []byte) {
	t.Helper()
	if !json.Valid(b) {
		return
	}
	var got, want reading
	readBody(b, &got)
	if got.form != FormJSON || bytes.IndexByte([]byte("{["), bytes.TrimSpace(b)[0]) < 0 {
		return // a lone string or number is text to us
	}
	refResponse(b, &want)
	texts := func(rd *reading) map[string]string {
		return map[string]string{
			"code": text(rd.code), "inner": text(rd.inner), "type": text(rd.kind), "message": text(rd.message),
			"flat code": text(rd.flatCode), "flat desc": text(rd.flatDesc), "flat type": text(rd.flatKind), "flat message": text(rd.flatMessage),
			"request ID": text(rd.requestID), "first item": text(rd.firstItem),
		}
	}
	wants := texts(&want)
	for name, g := range texts(&got) {
		if g != wants[name] {
			t.Errorf("%s: %q, encoding/json has %q, in %q", name, g, wants[name], b)
		}
	}
	if got.failed != want.failed || got.items != want.items || got.partial != want.partial {
		t.Errorf("failed %t, items %d, partial %t; encoding/json has %t, %d, %t, in %q", got.failed, got.items, got.partial, want.failed, want.items, want.partial, b)
	}
}

// text is f as it would be kept, were there no bound.
func text(f field) string {
	return string(appendField(make([]byte, 0, 4*len(f.raw)+8), f))
}

type member struct {
	key   string
	value json.RawMessage
}

// members returns the members of an object in their order, doubles included.
func members(raw json.RawMessage) []member {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil
	}
	var all []member
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return all
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return all
		}
		all = append(all, member{strings.ToLower(key.(string)), v})
	}
	return all
}

func elements(raw json.RawMessage) []json.RawMessage {
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	return all
}

// refScalar is a scalar decoded by encoding/json. Whether it is empty shows in
// its raw form, as it does to the scanner.
func refScalar(raw json.RawMessage) field {
	switch raw[0] {
	case '{', '[', 'n':
		return field{}
	case '"':
		if len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0 {
			return field{}
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return field{}
		}
		return field{raw: []byte(s)}
	}
	return field{raw: raw}
}

// take sets f to v unless an earlier one is there. A string of escaped blanks
// is taken and empty.
func take(f *field, v field) {
	if f.raw == nil && v.raw != nil {
		*f = v
	}
}

func refEmpty(raw json.RawMessage) bool {
	s := string(raw)
	return s == `""` || s == "null" || raw[0] == '{' && len(members(raw)) == 0 || raw[0] == '[' && len(elements(raw)) == 0
}

// refResponse reads what scanner.response reads, where wrapped has been set
// behind the first wrapper.
func refResponse(b json.RawMessage, rd *reading) {
	rd.form = FormJSON
	b = bytes.TrimSpace(b)
	if b[0] == '[' {
		if all := elements(b); len(all) > 0 {
			refFields(all[0], rd, new(bool))
		}
		return
	}
	refFields(b, rd, new(bool))
}

func refFields(b json.RawMessage, rd *reading, wrapped *bool) {
	for _, m := range members(b) {
		switch v := m.value; m.key {
		case "code":
			take(&rd.flatCode, refScalar(v))
		case "type":
			take(&rd.flatKind, refScalar(v))
		case "message":
			take(&rd.flatMessage, refScalar(v))
		case "codedesc":
			take(&rd.flatDesc, refScalar(v))
		case "ispartial":
			rd.partial = rd.partial || strings.EqualFold(string(refScalar(v).raw), "true")
		case "requestid", "request_id", "reqid":
			take(&rd.requestID, refScalar(v))
		case "responsemetadata":
			for _, m := range members(v) {
				if m.key == "requestid" || m.key == "request_id" || m.key == "reqid" {
					take(&rd.requestID, refScalar(m.value))
				}
			}
		case "error", "errors":
			refError(v, rd, false)
		case "errorresponse", "response":
			rd.failed = rd.failed || m.key == "errorresponse" && !refEmpty(v)
			if v[0] == '{' && !*wrapped {
				*wrapped = true
				refFields(v, rd, wrapped)
			}
		case "errormessage", "errormessages":
			refItems(v, rd)
		}
	}
}

func refError(v json.RawMessage, rd *reading, nested bool) {
	switch v[0] {
	case '"':
		f := refScalar(v)
		rd.failed = rd.failed || f.raw != nil
		take(&rd.message, f)
	case '[':
		for _, e := range elements(v) {
			if e[0] == '{' || e[0] == '"' {
				refError(e, rd, nested)
			}
		}
	case '{':
		var found, fine bool
		for _, m := range members(v) {
			f := refScalar(m.value)
			switch m.key {
			case "code":
				if string(f.raw) == "0" {
					fine = true
					continue
				}
				take(&rd.code, f)
			case "message":
				take(&rd.message, f)
			case "type":
				take(&rd.kind, f)
			case "innercode":
				take(&rd.inner, f)
				continue
			case "requestid", "request_id", "reqid":
				take(&rd.requestID, f)
				continue
			case "error":
				if !nested {
					refError(m.value, rd, true)
					continue
				}
				found = found || !refEmpty(m.value)
				continue
			default:
				found = found || !refEmpty(m.value)
				continue
			}
			found = found || f.raw != nil
		}
		rd.failed = rd.failed || found && !fine
	}
}

func refItems(v json.RawMessage, rd *reading) {
	switch v[0] {
	case '"':
		take(&rd.flatMessage, refScalar(v))
	case '[':
		for _, e := range elements(v) {
			if !refEmpty(e) {
				rd.items++
			}
			if e[0] == '"' {
				take(&rd.firstItem, refScalar(e))
			}
		}
	case '{':
		for _, m := range members(v) {
			if m.value[0] == '[' && (m.key == "errormessage" || m.key == "member") {
				refItems(m.value, rd)
			}
		}
	}
}
