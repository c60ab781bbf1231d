package diagnosis

import (
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	tableProbes = 8                // number of slots where a row may be stored
	tableMemory = 15 * time.Minute // how long a row that is not used is kept
)

// seed is that of the keys of tables. It is random, so that collisions cannot be
// provoked.
var seed = maphash.MakeSeed()

// table is a hash table of fixed size. A new row takes the place of one that was not
// used for tableMemory, or is not stored. Look-ups take no lock.
type table[T any] struct {
	slots []atomic.Pointer[row[T]] // their number is a power of two
	mask  uint64                   // their number less one

	mu sync.Mutex // held while slots are changed
}

// row is a row of a table.
type row[T any] struct {
	key   uint64
	used  lease
	value T
}

func newTable[T any](size uint64) table[T] {
	return table[T]{slots: make([]atomic.Pointer[row[T]], size), mask: size - 1}
}

// find returns the row with a key, or nil.
func (t *table[T]) find(key uint64) *row[T] {
	for i := range uint64(tableProbes) {
		if e := t.slot(key + i).Load(); e != nil && e.key == key {
			return e
		}
	}
	return nil
}

// slot returns the slot where a row may be stored.
func (t *table[T]) slot(i uint64) *atomic.Pointer[row[T]] { return &t.slots[i&t.mask] }

// add returns the row with a key, which it makes with set if there is none, and
// reports whether it did. It calls drop, which may be nil, for the row whose place it
// takes. It returns nil if there is no room. set and drop are called with mu held.
func (t *table[T]) add(key uint64, second int64, set, drop func(*T)) (e *row[T], isNew bool) {
	if !t.hasRoom(key, second) {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.find(key); e != nil && e.used.renew(second) {
		return e, false // another goroutine was faster
	}
	for i := range uint64(tableProbes) {
		slot := t.slot(key + i)
		switch old := slot.Load(); {
		case old != nil && !old.used.end(second):
			continue
		case old != nil && drop != nil:
			drop(&old.value)
		}
		e := &row[T]{key: key}
		e.used.Store(second)
		set(&e.value)
		slot.Store(e)
		return e, true
	}
	return nil, false
}

// hasRoom reports whether a row with a key may be stored.
func (t *table[T]) hasRoom(key uint64, second int64) bool {
	for i := range uint64(tableProbes) {
		if e := t.slot(key + i).Load(); e == nil || e.key == key || e.used.idle(second) {
			return true
		}
	}
	return false
}

// all yields every row.
func (t *table[T]) all(yield func(*row[T]) bool) {
	for i := range t.slots {
		if e := t.slots[i].Load(); e != nil && !yield(e) {
			return
		}
	}
}

// lease is when a row was last used, in seconds since the epoch, or ended if it was
// removed from its table. A row whose lease was renewed stays in the table for
// tableMemory.
type lease struct{ atomic.Int64 }

const ended = math.MinInt64

// renew reports whether the row is in its table, where it stays.
func (l *lease) renew(second int64) bool {
	last := l.Load()
	return last != ended && (last == second || l.CompareAndSwap(last, second) || l.Load() != ended)
}

// idle reports whether the row was not used for tableMemory.
func (l *lease) idle(second int64) bool { return second-l.Load() > int64(tableMemory/time.Second) }

// end ends the lease of an idle row. It reports whether it did.
func (l *lease) end(second int64) bool {
	last := l.Load()
	return last != ended && second-last > int64(tableMemory/time.Second) && l.CompareAndSwap(last, ended)
}

// hashAddr returns the hash of an address, which is the same for an IPv4 address
// mapped to IPv6.
func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return maphash.Bytes(seed, b[:])
}
