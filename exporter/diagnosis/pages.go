package diagnosis

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

const (
	maxPageQueries  = 256       // maximum number of lists remembered
	defaultPageSize = 10        // documented
	pageMemory      = time.Hour // how long a list is remembered
	pagePause       = 10        // minimum number of seconds between two reads of a list
)

// givesLists reports whether the action responds with a page of a list.
func givesLists(action string) bool {
	return strings.HasPrefix(action, "List") || strings.HasPrefix(action, "Describe")
}

// pages remembers which page a program has to request next to read a list as a
// whole. Its memory is bounded by maxPageQueries: a list takes the place of the one of
// queryProbes others that was read least recently.
type pages struct {
	slots  [maxPageQueries]pageQuery
	missed atomic.Int64 // when a page was last read that observe did not learn of, in Unix seconds
}

// miss records that a page was read that observe does not learn of.
func (p *pages) miss(second int64) {
	if p.missed.Load() != second {
		p.missed.Store(second)
	}
}

// slot returns the slot of a list, or the one whose place it takes.
func (p *pages) slot(key uint64) *pageQuery {
	oldest := &p.slots[(key>>1)%maxPageQueries]
	for i := range uint64(queryProbes) {
		q := &p.slots[(key>>1+i)%maxPageQueries]
		if q.key.Load() == key {
			return q
		}
		if q.at.Load() < oldest.at.Load() {
			oldest = q
		}
	}
	return oldest
}

// pageQuery is a list of which a page was read.
type pageQuery struct {
	key atomic.Uint64
	// next is the number of the page to be read next; 0 if all were read.
	next  atomic.Int64
	total atomic.Int64
	at    atomic.Int64 // Unix seconds
}

// observe learns that a page was read. It returns the number of items that were
// read when the first page is read once more, although the following one certainly
// never was, and 0 otherwise.
func (p *pages) observe(key uint64, page, size, total int, now time.Time) (read, of int) {
	q := p.slot(key)
	age := now.Unix() - q.at.Load()
	known := q.key.Load() == key && age <= int64(pageMemory/time.Second)
	next := int64(page) + 1
	if page*size >= total {
		next = 0
	}
	if page == 1 {
		if known && q.next.Load() == 2 && p.missed.Load() < q.at.Load() {
			if age < pagePause { // the pages may be read at the same time
				return 0, 0
			}
			read, of = size, int(q.total.Load())
		}
	} else if !known || q.next.Load() != int64(page) {
		return 0, 0 // not in order
	}
	q.key.Store(key)
	q.next.Store(next)
	q.total.Store(int64(total))
	q.at.Store(now.Unix())
	return read, of
}

// page returns a finding if a program reads only the first page of a list.
func (h *hidden) page(o *classify.Observation, q *classify.Query, key uint64) *Finding {
	if !plain(o.ResponseBody) {
		return nil
	}
	total, ok := classify.TotalCount(o.ResponseBody)
	if !ok && o.ResponseTail != nil {
		total, ok = classify.TotalCount(o.ResponseTail)
	}
	if !ok {
		return nil
	}
	page, size := q.Page()
	if page == 0 {
		page = 1
	}
	if size == 0 {
		size = defaultPageSize
	}
	read, of := h.pages.observe(key, page, size, total, o.End)
	if read == 0 || of <= read {
		return nil
	}
	f := &Finding{Cause: CausePagesUnread, Certainty: Likely}
	if h.queries.report(key, o.End) {
		f.Report = true
		f.facts = []Fact{
			{Name: "action", Value: redact.Text(o.Call.Action)},
			{Name: "read", Value: strconv.Itoa(read)},
			{Name: "total", Value: strconv.Itoa(of)},
		}
	}
	return f
}
