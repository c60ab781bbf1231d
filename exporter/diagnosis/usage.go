package diagnosis

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxUsages   = 512              // maximum number of usages remembered
	usageProbes = 8                // number of slots where a usage may be stored
	usageMemory = 15 * time.Minute // how long a usage without attempts is kept
)

// usage is what one credential has done with one action. The analysers of
// credentials and quotas keep their state in it, so that an attempt takes one
// look-up.
type usage struct {
	service, action, version, credential string

	key  *key         // the credential; shared by its usages
	act  *action      // the action; shared by the credentials that use it
	seen atomic.Int64 // time of the last attempt, in seconds since the epoch

	hash uint64 // of the credential

	permission permission

	results  atomic.Uint64 // number of successful queries
	repeated atomic.Uint64 // number of those whose result was known already

	limit   int          // calls per minute; 0 if there is no limit
	window  rate         // attempts of the last minute; unused without a limit
	warned  atomic.Int64 // time of the last notice that the limit is near, in seconds since the epoch
	checked atomic.Int64 // time of the last check for that, likewise

	sizes *sizes // of its requests; nil if there are no limits
}

// usages remembers usages in a table of fixed size. Look-ups take no lock.
type usages struct {
	seed  maphash.Seed
	slots [maxUsages]atomic.Pointer[usage]

	mu sync.Mutex // held while a slot is assigned to a usage
}

// of returns the usage that the attempt belongs to, or nil if the table is full of
// others that are in use.
func (t *usages) of(o *classify.Observation, d *Diagnoser) *usage {
	second := o.End.Unix()
	u := t.find(o)
	if u == nil {
		return t.place(o, d, second)
	}
	if u.seen.Load() != second {
		u.seen.Store(second)
	}
	return u
}

// find returns the usage that the attempt belongs to, or nil.
func (t *usages) find(o *classify.Observation) *usage {
	at := t.first(o)
	for i := range uint64(usageProbes) {
		if u := t.slots[(at+i)%maxUsages].Load(); u != nil && u.is(o) {
			return u
		}
	}
	return nil
}

// first returns the index of the first slot where the usage of an attempt may be.
func (t *usages) first(o *classify.Observation) uint64 {
	return maphash.String(t.seed, o.Credential) + maphash.String(t.seed, o.Call.Action)
}

// is reports whether the attempt belongs to the usage.
func (u *usage) is(o *classify.Observation) bool {
	return u.action == o.Call.Action && u.credential == o.Credential && u.version == o.Call.Version && u.service == o.Call.Service
}

// place assigns a slot to the usage of an attempt: a free one, or that of a usage
// without attempts for usageMemory. It returns nil if there is none.
func (t *usages) place(o *classify.Observation, d *Diagnoser, second int64) *usage {
	if !t.mu.TryLock() {
		return nil
	}
	defer t.mu.Unlock()
	var free *atomic.Pointer[usage]
	at := t.first(o)
	for i := range uint64(usageProbes) {
		slot := &t.slots[(at+i)%maxUsages]
		u := slot.Load()
		switch {
		case u == nil, second-u.seen.Load() > int64(usageMemory/time.Second):
			if free == nil {
				free = slot
			}
		case u.is(o):
			return u // another goroutine was faster
		}
	}
	if free == nil {
		return nil
	}
	if old := free.Load(); old != nil && old.permission.lost.Load() {
		old.key.denied.Add(-1)
	}
	u := &usage{
		service: strings.Clone(o.Call.Service), action: strings.Clone(o.Call.Action),
		version: strings.Clone(o.Call.Version), credential: strings.Clone(o.Credential),
	}
	u.hash = maphash.String(t.seed, u.credential)
	u.act = d.actions.of(actionName{u.service, u.action})
	u.limit = d.limitOf(u.service, u.action, u.version)
	u.sizes = sizesOf(u.service, u.action, u.version)
	var evicted *key
	if u.key, evicted = d.keys.place(u.credential, second); evicted != nil {
		t.forget(evicted)
	}
	u.seen.Store(second)
	free.Store(u)
	return u
}

// forget removes the usages of a credential. The caller holds mu.
func (t *usages) forget(k *key) {
	for i := range t.slots {
		if u := t.slots[i].Load(); u != nil && u.key == k {
			t.slots[i].Store(nil)
		}
	}
}
