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
	p := parser{b: b}
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

// parser parses a time from left to right. bad reports that something was
// missing.
type parser struct {
	b   []byte
	bad bool
}

// digits parses n digits.
func (p *parser) digits(n int) int {
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
func (p *parser) after(separator byte) int {
	if len(p.b) > 0 && p.b[0] == separator {
		p.b = p.b[1:]
	}
	return p.digits(2)
}

// fraction skips the fraction of a second.
func (p *parser) fraction() {
	if len(p.b) == 0 || p.b[0] != '.' && p.b[0] != ',' {
		return
	}
	p.b = p.b[1:]
	for len(p.b) > 0 && '0' <= p.b[0] && p.b[0] <= '9' {
		p.b = p.b[1:]
	}
}

// offset parses Z, an offset from UTC, or nothing.
func (p *parser) offset() time.Duration {
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

// ParseHTTP reads a date in the form that RFC 9110 requires servers to send:
// "Sun, 06 Nov 1994 08:49:37 GMT". It returns the zero time for any other text.
func ParseHTTP(b []byte) time.Time {
	const form = "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(b) != len(form) || string(b[3:5]) != ", " || b[7] != ' ' || b[11] != ' ' || b[16] != ' ' ||
		b[19] != ':' || b[22] != ':' || string(b[25:]) != " GMT" {
		return time.Time{}
	}
	month := bytes.Index([]byte("JanFebMarAprMayJunJulAugSepOctNovDec"), b[8:11])
	p := parser{b: b[5:7]}
	day := p.digits(2)
	p.b = b[12:16]
	year := p.digits(4)
	p.b = b[17:19]
	hour := p.digits(2)
	p.b = b[20:22]
	minute := p.digits(2)
	p.b = b[23:25]
	second := p.digits(2)
	if p.bad || month < 0 || month%3 != 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}
	}
	return time.Date(year, time.Month(month/3+1), day, hour, minute, second, 0, time.UTC)
}
