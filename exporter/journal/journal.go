// Package journal keeps the last failures in memory, searchable by ID, request ID
// and content.
//
//	Add ──> ring of the last N records, sorted by ID ──┬─> Select (newest first, filtered, in pages)
//	                                                   └─> Find
//
// Failures may come in thousands per second, searches come from people. So there is no
// index besides the order and a hash of each request ID.
//
// Its memory is bounded by the number of records and by record.MaxBytes for each
// record.
package journal

import (
	"context"
	"hash/maphash"
	"iter"
	"sort"
	"sync"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// DefaultCapacity is the default capacity of a journal.
const DefaultCapacity = 1000

// Stats is the state of a journal.
type Stats struct {
	Entries  int    `json:"entries"`
	Capacity int    `json:"capacity"`
	Evicted  uint64 `json:"evicted"` // number of records evicted since New
}

// Journal is a ring of the last failures. It is safe for concurrent use.
type Journal struct {
	mu    sync.RWMutex
	slots []*record.Record
	// hashes are those of the request IDs of slots: reading them one after the other is
	// many times faster than reading the records, which are all over the memory.
	hashes []uint32
	next   uint64 // sequence number of the next record; the first is 1

	notices notices
}

// New returns an empty journal for capacity records. If capacity is not
// positive, DefaultCapacity is used.
func New(capacity int) *Journal {
	if capacity <= 0 {
		capacity = DefaultCapacity
	}
	return &Journal{slots: make([]*record.Record, capacity), hashes: make([]uint32, capacity), next: 1}
}

// Add adds r, which must not be modified afterwards. Its ID must be greater than
// those of the records before, as the IDs of record.IDs are. If the journal is
// full, the oldest record is evicted.
func (j *Journal) Add(r *record.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*j.at(j.next) = r
	j.hashes[j.next%uint64(len(j.slots))] = hash(r.RequestID)
	j.next++
}

// at returns the slot of the record with the sequence number seq.
func (j *Journal) at(seq uint64) **record.Record { return &j.slots[seq%uint64(len(j.slots))] }

// oldest returns the sequence number of the oldest record in the journal.
func (j *Journal) oldest() uint64 {
	if capacity := uint64(len(j.slots)); j.next > capacity {
		return j.next - capacity
	}
	return 1
}

// Oldest returns the oldest record, or nil if there is none.
func (j *Journal) Oldest() *record.Record {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.next == 1 {
		return nil
	}
	return *j.at(j.oldest())
}

// Find returns the failed attempts with the given ID or request ID, newest first.
// It returns nil if there are none.
func (j *Journal) Find(id string) []*record.Record {
	if id == "" {
		return nil
	}
	if r := j.withID(id); r != nil {
		return []*record.Record{r}
	}
	return j.withRequestID(id)
}

// withRequestID returns the records with the request ID, newest first.
func (j *Journal) withRequestID(id string) (found []*record.Record) {
	wanted := hash(id)
	j.mu.RLock()
	defer j.mu.RUnlock()
	oldest := j.oldest()
	for seq := j.next; seq > oldest; {
		seq--
		if j.hashes[seq%uint64(len(j.slots))] != wanted {
			continue
		}
		if r := *j.at(seq); r.RequestID == id {
			found = append(found, r)
		}
	}
	return found
}

var seed = maphash.MakeSeed()

// hash returns a hash of a request ID.
func hash(id string) uint32 { return uint32(maphash.String(seed, id)) } //nolint:gosec // the lower half

// withID returns the record with the ID, or nil.
func (j *Journal) withID(id string) *record.Record {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if seq := j.search(id); seq < j.next {
		if r := *j.at(seq); r.ID == id {
			return r
		}
	}
	return nil
}

// search returns the sequence number of the oldest record whose ID is not less
// than id, or j.next if there is none. The caller holds the lock.
func (j *Journal) search(id string) uint64 {
	oldest := j.oldest()
	n := sort.Search(int(j.next-oldest), func(i int) bool { //nolint:gosec // at most the capacity
		return (*j.at(oldest + uint64(i))).ID >= id //nolint:gosec // not negative
	})
	return oldest + uint64(n) //nolint:gosec // not negative
}

// chunk is how many records are read from the ring at a time, so that a search
// does not delay Add for long.
const chunk = 512

// afterDigits is greater than every character of an ID.
const afterDigits = "~"

// Select returns the records that match f, newest first: at most limit of those
// older than the record with the ID before, or the newest ones if before is "".
// more reports whether there are others. To read on, select before the ID of the
// last record of the page: records that are added meanwhile do not change what
// follows. If ctx is done, the search ends and records may be missing.
func (j *Journal) Select(ctx context.Context, f *Filter, before string, limit int) (page []*record.Record, more bool) {
	for r := range j.before(ctx, f, before) {
		if len(page) == limit {
			return page, true
		}
		page = append(page, r)
	}
	return page, false
}

// All yields the records that match f, newest first, until ctx is done.
func (j *Journal) All(ctx context.Context, f *Filter) iter.Seq[*record.Record] {
	return j.before(ctx, f, "")
}

// before is All for the records older than the one with an ID, unless that is "".
func (j *Journal) before(ctx context.Context, f *Filter, id string) iter.Seq[*record.Record] {
	return func(yield func(*record.Record) bool) {
		var buf [chunk]*record.Record
		low, high := j.bounds(f.ID, id)
		for high > low && ctx.Err() == nil {
			var records []*record.Record
			records, high = j.read(buf[:0], low, high)
			for _, r := range records {
				if f.Matches(r) && !yield(r) {
					return
				}
			}
		}
	}
}

// bounds returns the sequence numbers of the records whose IDs begin with prefix
// and are less than before: from low to high-1.
func (j *Journal) bounds(prefix, before string) (low, high uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	low, high = j.oldest(), j.next
	if prefix != "" {
		low, high = j.search(prefix), j.search(prefix+afterDigits)
	}
	if before != "" {
		high = min(high, j.search(before))
	}
	return low, high
}

// read appends the records before high, newest first, as far as there is room. It
// returns the sequence number of the last of them, or low if there are no more.
func (j *Journal) read(dst []*record.Record, low, high uint64) ([]*record.Record, uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	end := max(low, j.oldest()) // some may have been evicted meanwhile
	for high > end && len(dst) < cap(dst) {
		high--
		dst = append(dst, *j.at(high))
	}
	if high <= end {
		high = low
	}
	return dst, high
}

// Stats returns the state of the journal.
func (j *Journal) Stats() Stats {
	j.mu.RLock()
	defer j.mu.RUnlock()
	oldest := j.oldest()
	return Stats{
		Entries:  int(j.next - oldest), //nolint:gosec // at most the capacity
		Capacity: len(j.slots),
		Evicted:  oldest - 1,
	}
}
