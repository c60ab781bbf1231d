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
// allocated only once. It only grows, up to its limits. It is safe for concurrent
// use and takes no lock.
type interner struct {
	seed  maphash.Seed
	count atomic.Int32
	slots [internSlots]atomic.Pointer[string]
}

// newInterner returns an empty table. Its hash seed is random, so that collisions
// cannot be provoked.
func newInterner() *interner { return &interner{seed: maphash.MakeSeed()} }

// get returns b as a string.
func (t *interner) get(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > maxInternedBytes:
		return string(b)
	}
	first := maphash.Bytes(t.seed, b)
	for i := range uint64(internProbes) {
		slot := &t.slots[(first+i)%internSlots]
		known := slot.Load()
		if known == nil {
			known = t.put(slot, b)
		}
		if known == nil {
			break
		}
		if *known == string(b) {
			return *known
		}
	}
	return string(b)
}

// put stores b in an empty slot and returns the content of the slot, or nil if the
// table is full.
func (t *interner) put(slot *atomic.Pointer[string], b []byte) *string {
	if t.count.Load() >= maxInterned {
		return nil
	}
	s := string(b)
	if slot.CompareAndSwap(nil, &s) {
		t.count.Add(1)
		return &s
	}
	return slot.Load()
}
