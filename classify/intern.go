package classify

import (
	"hash/maphash"
	"sync/atomic"
)

// The limits of an intern table. A string that does not fit is allocated each
// time and not kept.
const (
	maxInterned      = 4096
	maxInternedBytes = 128
	internSlots      = 2 * maxInterned // a power of two
	internProbes     = 16
)

// interner returns the same string for equal bytes, so that recurring names are
// allocated and examined only once. It only grows, up to its limits. It is safe for
// concurrent use and takes no lock.
type interner struct {
	seed    maphash.Seed
	examine func(text string) word
	count   atomic.Int32
	slots   [internSlots]atomic.Pointer[word]
}

// word is a string that may recur, and what is known about it.
type word struct {
	text    string
	isName  bool     // see isOpenName
	lower   string   // a name in lower case, else ""
	actions []Action // the documented actions of that name
	isHost  bool     // it is as hostname.AppendLower returns it
}

// newInterner returns an empty table of what examine returns. Its hash seed is random,
// so that collisions cannot be provoked.
func newInterner(examine func(text string) word) *interner {
	return &interner{seed: maphash.MakeSeed(), examine: examine}
}

// get returns b as a string.
func (t *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if w := t.find(b); w != nil {
		return w.text
	}
	return t.add(b).text
}

// find returns the word that is b, or nil if b is not in the table.
func (t *interner) find(b []byte) *word {
	if len(b) == 0 || len(b) > maxInternedBytes {
		return nil
	}
	first := maphash.Bytes(t.seed, b)
	for i := range uint64(internProbes) {
		w := t.slots[(first+i)%internSlots].Load()
		if w == nil {
			return nil
		}
		if w.text == string(b) {
			return w
		}
	}
	return nil
}

// add returns the word that is b, which is added to the table if there is room.
func (t *interner) add(b []byte) *word {
	w := t.examine(string(b))
	if len(b) > maxInternedBytes {
		return &w
	}
	first := maphash.Bytes(t.seed, b)
	for i := range uint64(internProbes) {
		slot := &t.slots[(first+i)%internSlots]
		if t.count.Load() < maxInterned && slot.CompareAndSwap(nil, &w) {
			t.count.Add(1)
			return &w
		}
		if known := slot.Load(); known != nil && known.text == w.text {
			return known
		}
	}
	return &w
}
