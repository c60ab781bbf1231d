package journal

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// maxNotices is the maximum number of notices in a journal.
const maxNotices = 256

// notices is a ring of the last notices. It is safe for concurrent use.
type notices struct {
	mu    sync.RWMutex
	slots [maxNotices]*diagnosis.Notice
	next  int // number of notices added
}

// AddNotice adds n, which must not be modified afterwards. If there are too many
// notices, the oldest is evicted.
func (j *Journal) AddNotice(n *diagnosis.Notice) {
	j.notices.mu.Lock()
	defer j.notices.mu.Unlock()
	j.notices.slots[j.notices.next%maxNotices] = n
	j.notices.next++
}

// Notices returns the last notices, newest first. They must not be modified.
func (j *Journal) Notices() []*diagnosis.Notice {
	j.notices.mu.RLock()
	defer j.notices.mu.RUnlock()
	n := min(j.notices.next, maxNotices)
	all := make([]*diagnosis.Notice, n)
	for i := range all {
		all[i] = j.notices.slots[(j.notices.next-1-i)%maxNotices]
	}
	return all
}
