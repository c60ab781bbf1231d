package http1

import "bytes"

// ScanRequest looks for the end of the request head at the start of b. from is
// where the last search stopped, 0 at first. It returns the head's length, or 0
// and where to go on once more was received. A length of 2 is an empty line. An
// error means that no head of at most limit bytes can come of it.
func ScanRequest(b []byte, from, limit int) (end, next int, err error) {
	if err := plausible(b); err != nil {
		return 0, from, err
	}
	first := true // line of this call
	for next = from; ; first = false {
		i := bytes.IndexByte(b[next:], '\n')
		if i < 0 {
			if len(b) >= limit {
				return 0, next, ErrHeadTooLarge
			}
			return 0, len(b), nil
		}
		lf := next + i
		next = lf + 1
		switch {
		case b[lf-1] != '\r': // the first byte is no LF
			return 0, lf, errBareLF
		case next > limit:
			return 0, lf, ErrHeadTooLarge
		case lf == 1 || b[lf-2] == '\n':
			return next, next, nil
		case first && !hasVersion(b[:lf-1]) && bytes.LastIndexByte(b[:lf], '\n') < 0:
			return 0, lf, errRequestLine // HTTP/0.9 would go no further
		}
	}
}

// ScanResponse is ScanRequest for the head of a response, whose lines may end
// without CR, and which may come after empty lines.
func ScanResponse(b []byte, from, limit int) (end, next int, err error) {
	first := emptyLines(b)
	if n := min(len(b)-first, len(versionPrefix)); string(b[first:first+n]) != versionPrefix[:n] {
		return 0, from, errStatusLine
	}
	for next = max(from, first); ; {
		i := bytes.IndexByte(b[next:], '\n')
		if i < 0 {
			if len(b) >= limit {
				return 0, next, ErrHeadTooLarge
			}
			return 0, len(b), nil
		}
		lf := next + i
		next = lf + 1
		switch {
		case next > limit:
			return 0, lf, ErrHeadTooLarge
		case b[lf-1] == '\n' || b[lf-1] == '\r' && b[lf-2] == '\n':
			return next, next, nil
		}
	}
}

// maxEmptyLines limits the bytes of empty lines before a response. Node and HAProxy
// pass over them.
const maxEmptyLines = 8

// emptyLines returns the number of bytes of empty lines at the start of b.
func emptyLines(b []byte) (n int) {
	for n < min(len(b), maxEmptyLines) && (b[n] == '\n' || b[n] == '\r' && (n+1 == len(b) || b[n+1] == '\n')) {
		n++
	}
	return n
}

// versionPrefix is what every response starts with.
const versionPrefix = "HTTP/"

// plausible checks the first byte, because something that is not HTTP may never
// contain the end of a line.
func plausible(b []byte) error {
	switch {
	case len(b) == 0 || b[0] == '\r' || isToken[b[0]]:
		return nil
	case b[0] == 0x16:
		return errTLS
	case b[0] == '\n':
		return errBareLF
	}
	return errNotHTTP
}

// hasVersion reports whether the line ends with one.
func hasVersion(line []byte) bool {
	return bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasSuffix(line, []byte(" HTTP/1.0"))
}

// Begins reports whether b is the beginning of a request, up to its target, and
// whether that is certain, which needs enough bytes.
func Begins(b []byte) (begins, sure bool) {
	const longestMethod = 32
	n := 0
	for n < len(b) && isToken[b[n]] {
		n++
	}
	switch {
	case n > longestMethod:
		return false, true
	case n >= len(b)-1:
		begins = n > 0 && (n == len(b) || b[n] == ' ')
		return begins, !begins && len(b) > 0
	case n == 0 || b[n] != ' ':
		return false, true
	}
	first := b[n+1]
	return first == '/' || first == '*' || lower(first) == 'h', true
}
