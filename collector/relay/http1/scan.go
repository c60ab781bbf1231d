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
	end, next, err = FindEnd(b, from)
	switch {
	case err != nil:
		return 0, next, err
	case end > limit || end == 0 && len(b) >= limit:
		return 0, next, ErrHeadTooLarge
	case end == 0 && from == 0 && next > 0 && !hasVersion(b):
		return 0, next, ErrRequestLine // HTTP/0.9 would go no further
	}
	return end, next, nil
}

// ScanResponse is ScanRequest for the head of an answer.
func ScanResponse(b []byte, from, limit int) (end, next int, err error) {
	end, next, err = FindEnd(b, from)
	switch {
	case err != nil:
		return 0, next, err
	case end > limit || end == 0 && len(b) >= limit:
		return 0, next, ErrHeadTooLarge
	case end == len("\r\n"):
		return 0, next, errStatusLine
	}
	return end, next, nil
}

// plausible looks at the first byte, since what is not HTTP may never come to
// a line's end.
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

// hasVersion reports whether the first line, which is whole, ends with one.
func hasVersion(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	return bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasSuffix(line, []byte(" HTTP/1.0"))
}
