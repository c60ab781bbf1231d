package classify

import (
	"bytes"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// ServerTime returns the time in the Date field of a response, in whole seconds.
// It returns the zero time if there is none, or if the response may come from a
// cache: it has an Age, or a field that reports a cache hit.
func ServerTime(h Header) time.Time {
	t := httpDate(get(h, headerDate))
	if t.IsZero() || get(h, "Age") != nil {
		return time.Time{}
	}
	for _, name := range [...]string{"X-Cache", "Cache-Status"} {
		if v := get(h, name); v != nil && containsFold(v, "hit") {
			return time.Time{}
		}
	}
	return t
}

// httpDate reads a date in the form that RFC 9110 requires servers to send:
// "Sun, 06 Nov 1994 08:49:37 GMT".
func httpDate(b []byte) time.Time {
	const form = "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(b) != len(form) || string(b[3:5]) != ", " || b[7] != ' ' || b[11] != ' ' || b[16] != ' ' ||
		b[19] != ':' || b[22] != ':' || string(b[25:]) != " GMT" {
		return time.Time{}
	}
	month := bytes.Index([]byte("JanFebMarAprMayJunJulAugSepOctNovDec"), b[8:11])
	p := timeParser{b: b[5:7]}
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

// containsFold reports whether b contains word, which is in lower case.
func containsFold(b []byte, word string) bool {
	for i := 0; i+len(word) <= len(b); i++ {
		if ascii.EqualFold(b[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
