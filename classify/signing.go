package classify

import (
	"bytes"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// signing returns how the request was signed.
func (q *wanted) signing() Signing {
	switch {
	case q.authSignature != nil || q.scope != nil:
		return SigningSigV4
	case q.credential.raw != nil || q.algorithm.raw != nil:
		return SigningPresigned
	case q.signature.raw != nil:
		return SigningSimple
	}
	return SigningNone
}

// authorize reads an Authorization field of the form
// "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...". Other
// schemes are ignored.
func (q *wanted) authorize(field []byte) {
	scheme, list := syntax.CutScheme(field)
	if !bytes.Contains(scheme, []byte("HMAC-")) {
		return
	}
	for len(list) > 0 {
		var name, value []byte
		name, value, list = syntax.CutParameter(list)
		switch {
		case len(value) == 0:
		case ascii.EqualFold(name, "credential"):
			q.authKey, q.scope = syntax.SplitCredential(value)
		case ascii.EqualFold(name, "signature"):
			q.authSignature = value
		}
	}
}

// maxDate is the maximum length of a date.
const maxDate = 48

// signedAt returns the signing time of the request, from X-Amz-Date, Timestamp or
// Date, in this order.
func (q *wanted) signedAt() time.Time {
	var buf [maxDate]byte
	for _, p := range []*param{&q.date, &q.timestamp} {
		if p.raw == nil {
			continue
		}
		if t, ok := parseTime(bytes.TrimSpace(p.append(buf[:0]))); ok {
			return t
		}
	}
	if len(q.httpDate) == 0 || len(q.httpDate) > maxDate {
		return time.Time{}
	}
	// The three forms of RFC 9110.
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, string(q.httpDate)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// parseTime reads a time of ISO 8601, in the basic form (20060102T150405Z) or
// the extended one (2006-01-02T15:04:05.000Z). Clients that put an offset in
// place of the Z are understood too, also where the form has made a blank of
// its plus sign; a time without either is UTC.
func parseTime(b []byte) (t time.Time, ok bool) {
	p := timeParser{b: b}
	year, month, day := p.digits(4), p.after('-'), p.after('-')
	if len(p.b) == 0 || p.b[0] != 'T' && p.b[0] != 't' && p.b[0] != ' ' {
		return time.Time{}, false
	}
	p.b = p.b[1:]
	hour, minute, second := p.digits(2), p.after(':'), p.after(':')
	p.fraction()
	offset := p.offset()
	if p.bad || len(p.b) > 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Add(-offset), true
}

// timeParser parses a time from left to right. bad reports that something was
// missing.
type timeParser struct {
	b   []byte
	bad bool
}

// digits parses n digits.
func (p *timeParser) digits(n int) int {
	if len(p.b) < n {
		p.bad = true
		return 0
	}
	v := 0
	for _, c := range p.b[:n] {
		p.bad = p.bad || c < '0' || c > '9'
		v = 10*v + int(c-'0')
	}
	p.b = p.b[n:]
	return v
}

// after parses two digits after an optional separator.
func (p *timeParser) after(separator byte) int {
	if len(p.b) > 0 && p.b[0] == separator {
		p.b = p.b[1:]
	}
	return p.digits(2)
}

// fraction skips the fraction of a second.
func (p *timeParser) fraction() {
	if len(p.b) == 0 || p.b[0] != '.' && p.b[0] != ',' {
		return
	}
	p.b = p.b[1:]
	for len(p.b) > 0 && '0' <= p.b[0] && p.b[0] <= '9' {
		p.b = p.b[1:]
	}
}

// offset parses Z, an offset from UTC, or nothing.
func (p *timeParser) offset() time.Duration {
	if len(p.b) == 0 {
		return 0
	}
	sign := p.b[0]
	p.b = p.b[1:]
	switch sign {
	case 'Z', 'z':
		return 0
	case '+', ' ', '-':
		hours, minutes := p.digits(2), p.after(':')
		d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
		if sign == '-' {
			return -d
		}
		return d
	}
	p.bad = true
	return 0
}
