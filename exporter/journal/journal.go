// Package journal keeps the last failures in memory, searchable by request ID.
//
//	Add ──> ring of the last N records ──> Select (newest first, filtered)
//	            └─ by request ID ────────> Find
//
// Its memory is bounded by the number of records and by record.MaxBytes for each
// record.
package journal

import (
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// DefaultCapacity is the default capacity of a journal.
const DefaultCapacity = 1000

// Filter selects records. The zero value selects all of them. Text is compared
// case-insensitively, except for the request ID.
type Filter struct {
	RequestID string
	Code      string // as received, or as spelled in the catalogue
	Category  string
	Outcome   string
	Blame     string
	Action    string
	CallID    string
	Since     time.Time // select attempts that ended at this time or later
	Limit     int       // maximum number of records, newest first; 0 for no limit
}

// Stats is the state of a journal.
type Stats struct {
	Entries  int
	Capacity int
	Evicted  uint64 // number of records evicted since New
}

// Journal is a ring of the last failures. It is safe for concurrent use.
type Journal struct {
	mu    sync.RWMutex
	slots []slot
	next  uint64 // sequence number of the next record; the first is 1
	// newest maps a request ID to its newest record. Older records with the same
	// ID are linked from it (slot.older).
	newest map[string]uint64

	events events
}

// slot is one element of the ring.
type slot struct {
	record *record.Record
	older  uint64 // the previous record with the same request ID; 0 if there is none
}

// New returns an empty journal for capacity records. If capacity is not
// positive, DefaultCapacity is used.
func New(capacity int) *Journal {
	if capacity <= 0 {
		capacity = DefaultCapacity
	}
	return &Journal{slots: make([]slot, capacity), next: 1, newest: make(map[string]uint64)}
}

// Add adds r, which must not be modified afterwards. If the journal is full, the
// oldest record is evicted.
func (j *Journal) Add(r *record.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	seq := j.next
	j.next++
	j.forget(seq)
	s := slot{record: r}
	if r.RequestID != "" {
		s.older = j.newest[r.RequestID]
		j.newest[r.RequestID] = seq
	}
	*j.at(seq) = s
}

// at returns the slot of the record with the sequence number seq.
func (j *Journal) at(seq uint64) *slot { return &j.slots[seq%uint64(len(j.slots))] }

// forget removes from the index the record whose slot seq will reuse.
func (j *Journal) forget(seq uint64) {
	old := j.at(seq).record
	if old != nil && j.newest[old.RequestID] == seq-uint64(len(j.slots)) {
		delete(j.newest, old.RequestID)
	}
}

// oldest returns the sequence number of the oldest record in the journal.
func (j *Journal) oldest() uint64 {
	if capacity := uint64(len(j.slots)); j.next > capacity {
		return j.next - capacity
	}
	return 1
}

// Find returns the failed attempts with the given request ID, newest first. It
// returns nil if there are none.
func (j *Journal) Find(id string) []*record.Record {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var found []*record.Record
	oldest := j.oldest()
	for seq := j.newest[id]; seq >= oldest; seq = j.at(seq).older {
		found = append(found, j.at(seq).record)
	}
	return found
}

// Select returns the records that match f, newest first.
func (j *Journal) Select(f Filter) []*record.Record {
	var candidates []*record.Record
	if f.RequestID != "" {
		candidates = j.Find(f.RequestID)
	} else {
		candidates = j.all()
	}
	selected := candidates[:0]
	for _, r := range candidates {
		if f.Limit > 0 && len(selected) == f.Limit {
			break
		}
		if f.wants(r) {
			selected = append(selected, r)
		}
	}
	return selected
}

// all returns every record, newest first.
func (j *Journal) all() []*record.Record {
	j.mu.RLock()
	defer j.mu.RUnlock()
	oldest := j.oldest()
	records := make([]*record.Record, 0, j.next-oldest)
	for seq := j.next - 1; seq >= oldest; seq-- {
		records = append(records, j.at(seq).record)
	}
	return records
}

// wants reports whether r matches f, ignoring the request ID and the limit.
func (f *Filter) wants(r *record.Record) bool {
	return (matches(f.Code, r.ErrorCode) || matches(f.Code, r.CatalogCode)) &&
		matches(f.Category, string(r.Category)) &&
		matches(f.Outcome, string(r.Outcome)) &&
		matches(f.Blame, string(r.Blame)) &&
		matches(f.Action, r.Action) &&
		matches(f.CallID, r.CallID) &&
		(f.Since.IsZero() || !r.Time.Before(f.Since))
}

// matches reports whether a field has the wanted value; "" matches any value.
func matches(want, have string) bool { return want == "" || strings.EqualFold(want, have) }

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
