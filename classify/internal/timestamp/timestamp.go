// Package timestamp parses the times in requests and responses without allocating.
package timestamp

import (
	"bytes"
	"time"
)

// Parse reads a time of ISO 8601, in the basic form (20060102T150405Z) or
// the extended one (2006-01-02T15:04:05.000Z). Clients that put an offset in
// place of the Z are understood too, also where the form has made a blank of
// its plus sign; a time without either is UTC.
func Parse(b []byte) (t time.Time, ok bool) {
	century, b := two(b)
	year, b := two(b)
	month, b := two(without(b, '-'))
	day, b := two(without(b, '-'))
	if len(b) == 0 || b[0] != 'T' && b[0] != 't' && b[0] != ' ' {
		return time.Time{}, false
	}
	hour, b := two(b[1:])
	minute, b := two(without(b, ':'))
	second, b := two(without(b, ':'))
	offset, ok := readOffset(withoutFraction(b))
	if !ok || century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > 31 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return time.Time{}, false
	}
	return time.Date(100*century+year, time.Month(month), day, hour, minute, second-offset, 0, time.UTC), true
}

// two reads two digits. n is negative if b does not begin with two.
func two(b []byte) (n int, rest []byte) {
	if len(b) < 2 {
		return -1, nil
	}
	tens, ones := b[0]-'0', b[1]-'0'
	if tens > 9 || ones > 9 {
		return -1, nil
	}
	return 10*int(tens) + int(ones), b[2:]
}

// without returns b without the separator that it may begin with.
func without(b []byte, separator byte) []byte {
	if len(b) > 0 && b[0] == separator {
		return b[1:]
	}
	return b
}

// withoutFraction returns b without the fraction of a second that it may begin with.
func withoutFraction(b []byte) []byte {
	if len(b) == 0 || b[0] != '.' && b[0] != ',' {
		return b
	}
	return bytes.TrimLeft(b[1:], "0123456789")
}

// readOffset reads Z, an offset from UTC, or nothing, and returns the offset in seconds.
func readOffset(b []byte) (seconds int, ok bool) {
	switch {
	case len(b) == 0, len(b) == 1 && (b[0] == 'Z' || b[0] == 'z'):
		return 0, true
	case b[0] != '+' && b[0] != ' ' && b[0] != '-':
		return 0, false
	}
	hours, rest := two(b[1:])
	minutes, rest := two(without(rest, ':'))
	if hours < 0 || minutes < 0 || len(rest) > 0 {
		return 0, false
	}
	seconds = 3600*hours + 60*minutes
	if b[0] == '-' {
		return -seconds, true
	}
	return seconds, true
}

// ParseHTTP reads a date in the form that RFC 9110 requires servers to send:
// "Sun, 06 Nov 1994 08:49:37 GMT". It returns the zero time for any other text.
func ParseHTTP(b []byte) time.Time {
	const form = "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(b) != len(form) || string(b[3:5]) != ", " || b[7] != ' ' || b[11] != ' ' || b[16] != ' ' ||
		b[19] != ':' || b[22] != ':' || string(b[25:]) != " GMT" {
		return time.Time{}
	}
	month := bytes.Index([]byte("JanFebMarAprMayJunJulAugSepOctNovDec"), b[8:11])
	day, _ := two(b[5:])
	century, _ := two(b[12:])
	year, _ := two(b[14:])
	hour, _ := two(b[17:])
	minute, _ := two(b[20:])
	second, _ := two(b[23:])
	if month < 0 || month%3 != 0 || day < 1 || day > 31 || century < 0 || year < 0 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return time.Time{}
	}
	return time.Date(100*century+year, time.Month(month/3+1), day, hour, minute, second, 0, time.UTC)
}
