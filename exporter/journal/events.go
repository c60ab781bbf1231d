package journal

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// maxEvents is the maximum number of events in a journal.
const maxEvents = 256

// events is a ring of the last events. It is safe for concurrent use.
type events struct {
	mu    sync.RWMutex
	slots [maxEvents]*diagnosis.Event
	next  int // number of events added
}

// AddEvent adds e, which must not be modified afterwards. If there are too many
// events, the oldest is evicted.
func (j *Journal) AddEvent(e *diagnosis.Event) {
	j.events.mu.Lock()
	defer j.events.mu.Unlock()
	j.events.slots[j.events.next%maxEvents] = e
	j.events.next++
}

// Events returns the last events, newest first. They must not be modified.
func (j *Journal) Events() []*diagnosis.Event {
	j.events.mu.RLock()
	defer j.events.mu.RUnlock()
	n := min(j.events.next, maxEvents)
	all := make([]*diagnosis.Event, n)
	for i := range all {
		all[i] = j.events.slots[(j.events.next-1-i)%maxEvents]
	}
	return all
}
