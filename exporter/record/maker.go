package record

import (
	"hash/maphash"
	"strings"
)

// Maker makes records. It remembers texts that contained nothing to redact: a call that
// fails again and again is not searched again, and its records share these texts. The
// zero value is ready for use. It is not safe for concurrent use.
type Maker struct{ urls, agents, words, messages harmless }

const (
	maxHarmless    = 64  // number of texts that are remembered
	maxHarmlessLen = 512 // maximum length of each, in bytes
)

var harmlessSeed = maphash.MakeSeed()

// harmless are texts that are output as they were received, by their hash. A text
// displaces another one with the same place.
type harmless [maxHarmless]string

// safe returns text in the form in which it is output, which is that of redact.
func (h *harmless) safe(text []byte, redact func() string) string {
	if len(text) > maxHarmlessLen {
		return redact()
	}
	at := &h[maphash.Bytes(harmlessSeed, text)%maxHarmless]
	if *at == string(text) {
		return *at
	}
	output := redact()
	if output == string(text) {
		*at = output
	}
	return output
}

// scrub is the function scrub. All texts of h must have the same limit.
func (h *harmless) scrub(s string, limit int) string {
	if s == "" || len(s) > maxHarmlessLen {
		return scrub(s, limit)
	}
	at := &h[maphash.String(harmlessSeed, s)%maxHarmless]
	if *at != s {
		output := scrub(s, limit)
		if output != s {
			return output
		}
		*at = strings.Clone(s) // s may be a part of a longer text
	}
	return *at
}
