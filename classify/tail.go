package classify

import "bytes"

// TailBytes is how many bytes of the end of a body should be kept. It has room for
// about 150 error messages for the items of a batch.
const TailBytes = 16 << 10

// readTail parses the end of a body whose beginning has already been parsed and
// whose middle was not kept. Error messages and metadata often follow data that is
// longer than what is kept. Only elements that begin in the tail are found.
func readTail(tail []byte, rd *reading) {
	switch rd.form {
	case FormJSON:
		s := scanner{b: tail, i: topLevel(tail)}
		var buf [maxKey]byte
		for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
			s.topField(key, rd)
		}
	case FormXML:
		start, ok := belowRoot(tail)
		if !ok {
			return
		}
		x := xmlScanner{b: tail, i: start}
		x.push(nil) // the root, whose name was seen at the beginning
		x.response(rd)
	}
}

// topLevel returns where in the end of a JSON object the first field begins
// that is the object's own; len(tail) if there is none. It goes backwards from
// the last brace, where the depth is known.
func topLevel(tail []byte) int {
	end := len(bytes.TrimRight(tail, " \t\r\n"))
	if end == 0 || tail[end-1] != '}' {
		return len(tail)
	}
	first, depth := len(tail), 0
	for i := end - 1; i >= 0; i-- {
		switch tail[i] {
		case '"':
			start, ok := stringStart(tail[:i])
			if !ok {
				return first
			}
			i = start
		case '}', ']':
			depth++
		case '{', '[':
			depth--
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 1 {
				first = i + 1
			}
		}
	}
	return first
}

// stringStart returns the place of the quote that opens the string whose text
// ends with b. ok is false if that is not in b.
func stringStart(b []byte) (start int, ok bool) {
	for {
		q := bytes.LastIndexByte(b, '"')
		if q < 0 {
			return 0, false
		}
		run := q
		for run > 0 && b[run-1] == '\\' {
			run--
		}
		if run == 0 && q > 0 {
			return 0, false // more backslashes may stand before b
		}
		if (q-run)%2 == 0 {
			return q, true
		}
		b = b[:run]
	}
}

// behindData are the elements that stand behind the data of a response.
var behindData = [][]byte{[]byte("<ErrorMessages"), []byte("<ResponseMetadata"), []byte("<RequestId")}

// belowRoot returns where in the end of an XML response the first of the elements
// begins that stand behind the data.
func belowRoot(tail []byte) (start int, ok bool) {
	start = len(tail)
	for _, name := range behindData {
		if i := bytes.Index(tail[:start], name); i >= 0 {
			start, ok = i, true
		}
	}
	return start, ok
}
