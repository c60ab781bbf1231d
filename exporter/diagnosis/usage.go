package diagnosis

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const maxUsages = 512 // maximum number of usages remembered

// usage is what one credential has done with one action. The analysers of
// credentials, calls, limits and sizes keep their state in it.
type usage struct {
	// What each attempt needs comes first, so that it touches little memory.
	key        *key   // the credential; shared by its usages
	hash       uint64 // of the credential
	permission permission
	limit      int          // calls per minute; 0 if there is no limit
	sizes      *sizes       // of its requests; nil if there are no limits
	warned     atomic.Int64 // time of the last notice that the limit is near, in seconds since the epoch
	checked    atomic.Int64 // time of the last check for that, likewise
	window     rate         // attempts of the last minute; unused without a limit

	act       *action                   // the action; shared by the credentials that use it
	successes atomic.Pointer[successes] // that were counted last; nil before

	service, action, version, credential string
}

// usages remembers usages.
type usages struct{ table[usage] }

// usageKey returns the key of the usage that an attempt belongs to.
func usageKey(o *classify.Observation) uint64 {
	h := uint64(0)
	for _, s := range [...]string{o.Call.Action, o.Credential, o.Call.Version, o.Call.Service} {
		h = h*31 + maphash.String(seed, s)
	}
	return h
}

// usageOf returns the usage that an attempt belongs to: noUsage if there is no room for it.
func (d *Diagnoser) usageOf(o *classify.Observation, second int64) *row[usage] {
	at := usageKey(o)
	e := d.usages.find(at)
	if e == nil || !e.used.renew(second) {
		e, _ = d.usages.add(at, second, func(u *usage) {
			u.service, u.action = strings.Clone(o.Call.Service), strings.Clone(o.Call.Action)
			u.version, u.credential = strings.Clone(o.Call.Version), strings.Clone(o.Credential)
			u.hash = maphash.String(seed, u.credential)
			u.act = d.actions.of(actionName{u.service, u.action})
			u.limit = d.limitOf(u.service, u.action, u.version)
			u.sizes = sizesOf(u.service, u.action, u.version)
			var evicted *key
			if u.key, evicted = d.keys.place(u.credential, second); evicted != nil {
				d.usages.forget(evicted)
			}
		}, (*usage).drop)
	}
	if e == nil {
		return &d.noUsage
	}
	e.value.key.used.Store(second)
	return e
}

// drop passes on what must outlast the usage.
func (u *usage) drop() {
	if u.permission.lost.Load() {
		u.key.denied.Add(-1)
	}
}

// forget removes the usages of a credential. The caller holds mu.
func (t *usages) forget(k *key) {
	for i := range t.slots {
		if e := t.slots[i].Load(); e != nil && e.value.key == k {
			e.used.Store(ended)
			e.value.drop()
			t.slots[i].Store(nil)
		}
	}
}
