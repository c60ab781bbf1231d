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
	harmlessSets   = 8   // chosen by the hash of a text
	harmlessWays   = 8   // number of texts that each remembers
	maxHarmlessLen = 512 // maximum length of each, in bytes
)

var harmlessSeed = maphash.MakeSeed()

// harmless are texts that are output as they were received. Of a set, the text that was
// added first is displaced first.
type harmless [harmlessSets]struct {
	hashes [harmlessWays]uint64 // of texts; most texts that are looked for have the length of another one
	texts  [harmlessWays]string
	next   int
}

// find returns the text that equals s, and whether there is one. hash is that of s.
func find[T string | []byte](h *harmless, s T, hash uint64) (text string, ok bool) {
	set := &h[hash%harmlessSets]
	for i := range set.hashes {
		if set.hashes[i] == hash && set.texts[i] == string(s) {
			return set.texts[i], true
		}
	}
	return "", false
}

// look returns the text that equals s, and the hash of s for add.
func (h *harmless) look(s []byte) (text string, hash uint64, ok bool) {
	if len(s) > maxHarmlessLen {
		return "", 0, false
	}
	hash = maphash.Bytes(harmlessSeed, s)
	text, ok = find(h, s, hash)
	return text, hash, ok
}

// add adds text unless it is too long.
func (h *harmless) add(text string, hash uint64) {
	if len(text) > maxHarmlessLen {
		return
	}
	set := &h[hash%harmlessSets]
	set.hashes[set.next], set.texts[set.next] = hash, text
	set.next = (set.next + 1) % harmlessWays
}

// safe returns text in the form in which it is output, which is that of redact.
func (h *harmless) safe(text []byte, redact func() string) string {
	known, hash, ok := h.look(text)
	if ok {
		return known
	}
	output := redact()
	if output == string(text) {
		h.add(output, hash)
	}
	return output
}

// scrub is the function scrub. All texts of h must have the same limit.
func (h *harmless) scrub(s string, limit int) string {
	if s == "" || len(s) > maxHarmlessLen {
		return scrub(s, limit)
	}
	hash := maphash.String(harmlessSeed, s)
	if known, ok := find(h, s, hash); ok {
		return known
	}
	output := scrub(s, limit)
	if output != s {
		return output
	}
	own := strings.Clone(s) // s may be a part of a longer text
	h.add(own, hash)
	return own
}
