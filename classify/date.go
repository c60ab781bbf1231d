package classify

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/timestamp"
)

// ServerTime returns the time in the Date field of a response, in whole seconds.
// It returns the zero time if there is none, or if the response may come from a
// cache: it has an Age, or a field that reports a cache hit.
func ServerTime(h Header) time.Time {
	t := timestamp.ParseHTTP(get(h, headerDate))
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

// containsFold reports whether b contains word, which is in lower case.
func containsFold(b []byte, word string) bool {
	for i := 0; i+len(word) <= len(b); i++ {
		if ascii.EqualFold(b[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
