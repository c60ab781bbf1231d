// Package groups counts equal failures, so that thousands of them are one group.
//
//	Add ──> group of the failure (up to a limit) ──> List, Find
//	            └─ least recently seen ──> Other
//
// Unlike the journal, the groups count every failure that was added, however many
// there are. Their memory is bounded by the number of groups and by
// record.MaxBytes for each of them.
package groups

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

const (
	// DefaultLimit is the default maximum number of groups, not counting Other.
	DefaultLimit = 512
	// Other is the ID of the group to which the failures of evicted groups are
	// added.
	Other = "_other"
	// TrendMinutes is the number of minutes of a trend.
	TrendMinutes = 60
	// MaxRequestIDs is the maximum number of request IDs of a group.
	MaxRequestIDs = 5
)

// Key is what the failures of a group have in common.
type Key struct {
	Code       string           `json:"code,omitempty"`  // as received
	Fault      classify.Fault   `json:"fault,omitempty"` // why there was no complete response
	Action     string           `json:"action,omitempty"`
	Version    string           `json:"version,omitempty"`
	Region     string           `json:"region,omitempty"`
	Credential string           `json:"credential,omitempty"`
	Status     int              `json:"status,omitempty"`
	Outcome    classify.Outcome `json:"outcome,omitempty"`
}

// KeyOf returns the key of the group of r.
func KeyOf(r *record.Record) Key {
	return Key{
		Code: r.Code, Fault: r.Fault, Action: r.Action, Version: r.Version, Region: r.Region,
		Credential: r.Credential, Status: r.Status, Outcome: r.Outcome,
	}
}

// encoding is that of IDs: lower-case letters and digits.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// id returns the ID of a group: a hash of its key, which is the same in every
// process.
func (k Key) id() string {
	h := sha256.New()
	for _, s := range []string{k.Code, string(k.Fault), k.Action, k.Version, k.Region, k.Credential, string(k.Outcome)} {
		_, _ = fmt.Fprintf(h, "%d:", len(s))
		_, _ = io.WriteString(h, s)
	}
	_, _ = fmt.Fprintf(h, "%d", k.Status)
	return encoding.EncodeToString(h.Sum(nil)[:8])
}

// Group is the state of a group of equal failures. Its JSON form is part of the
// API. The last of its failures is meant by the fields that are not in the key.
type Group struct {
	ID string `json:"id"`
	Key
	Service  string            `json:"service,omitempty"`
	Type     classify.Type     `json:"type,omitempty"`
	Category classify.Category `json:"category,omitempty"`
	Blame    classify.Blame    `json:"blame,omitempty"`

	// Count is the number of failures since the start, whether the journal still has
	// them or not, and of those that were restored from the journal's file.
	Count     uint64    `json:"count"`
	Share     float64   `json:"share"` // of all calls since the start, 0 to 1, without restored failures
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Trend     Trend     `json:"trend"`
	// Recovered is the number of failures after which a retry of the same call
	// succeeded while the journal had the failure.
	Recovered uint64 `json:"recovered"`

	Cause       diagnosis.Cause  `json:"cause,omitempty"`
	CatalogCode string           `json:"catalog_code,omitempty"` // code of the catalogue entry, even if there was none in the response
	Meaning     diagnosis.Text   `json:"meaning,omitzero"`
	Advice      diagnosis.Advice `json:"advice,omitzero"` // what to do
	Message     string           `json:"message,omitempty"`
	LastID      string           `json:"last_id,omitempty"` // ID of the last failure
	RequestIDs  []string         `json:"request_ids"`       // the last ones, newest first

	// Last is the last failure. It is nil for Other.
	Last *record.Record `json:"-"`
}

// Trend is a number of failures per minute.
type Trend struct {
	Start  time.Time `json:"start"`  // of the first minute
	Counts []uint32  `json:"counts"` // one per minute; the last minute is the current one
}

// Stats is the state of a table.
type Stats struct {
	Groups   int    `json:"groups"`   // without Other
	Capacity int    `json:"capacity"` // maximum number of groups
	Evicted  uint64 `json:"evicted"`  // groups that were added to Other
}

// Table is a set of groups. It is safe for concurrent use.
type Table struct {
	limit int

	mu      sync.Mutex
	groups  map[Key]*list.Element // of *group
	recent  *list.List            // the most recently seen first
	other   *group                // nil if no group was evicted
	evicted uint64
}

// New returns an empty table for limit groups. If limit is not positive,
// DefaultLimit is used.
func New(limit int) *Table {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Table{limit: limit, groups: make(map[Key]*list.Element), recent: list.New()}
}

// group is the state of a group behind the lock.
type group struct {
	id          string
	key         Key
	count       uint64
	restored    uint64 // how many of count are of earlier runs
	recovered   uint64
	first, last time.Time
	trend       trend
	newest      *record.Record // nil for Other
	requestIDs  []string       // newest last
}

// Add counts the failure r and sets r.Group. It must be called before r is shared,
// and r must not be modified afterwards.
func (t *Table) Add(r *record.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(r)
}

// Restore is Add for a failure of an earlier run, which is not part of the share.
func (t *Table) Restore(r *record.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.add(r)
	g.restored++
	if r.CallOutcome == diagnosis.CallSuccessAfterRetry {
		g.recovered++
	}
}

// add is Add. It returns the group. The caller holds the lock.
func (t *Table) add(r *record.Record) *group {
	key := KeyOf(r)
	e, ok := t.groups[key]
	if !ok {
		if len(t.groups) >= t.limit {
			t.evict()
		}
		e = t.recent.PushFront(&group{id: key.id(), key: key, first: r.Time})
		t.groups[key] = e
	}
	t.recent.MoveToFront(e)
	g := e.Value.(*group)
	r.Group = g.id
	g.add(r)
	return g
}

// Recover counts that a retry succeeded after the failure r.
func (t *Table) Recover(r *record.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.groups[KeyOf(r)]; ok {
		e.Value.(*group).recovered++
	} else if t.other != nil {
		t.other.recovered++
	}
}

// evict adds the least recently seen group to Other.
func (t *Table) evict() {
	e := t.recent.Back()
	g := t.recent.Remove(e).(*group)
	delete(t.groups, g.key)
	t.evicted++
	if t.other == nil {
		t.other = &group{id: Other, first: g.first}
	}
	t.other.merge(g)
}

func (g *group) add(r *record.Record) {
	g.count++
	g.newest = r
	if r.Time.Before(g.first) {
		g.first = r.Time
	}
	if r.Time.After(g.last) {
		g.last = r.Time
	}
	g.trend.add(minuteOf(r.Time), 1)
	if r.RequestID != "" && !slices.Contains(g.requestIDs, r.RequestID) {
		if len(g.requestIDs) == MaxRequestIDs {
			g.requestIDs = slices.Delete(g.requestIDs, 0, 1)
		}
		g.requestIDs = append(g.requestIDs, r.RequestID)
	}
}

// merge adds the counts of x to g.
func (g *group) merge(x *group) {
	g.count += x.count
	g.restored += x.restored
	g.recovered += x.recovered
	if x.first.Before(g.first) {
		g.first = x.first
	}
	if x.last.After(g.last) {
		g.last = x.last
	}
	for i := range int64(TrendMinutes) {
		minute := x.trend.newest - i
		g.trend.add(minute, x.trend.at(minute))
	}
}

// view returns the state of g. calls is the number of all calls.
func (g *group) view(now time.Time, calls uint64) Group {
	v := Group{
		ID: g.id, Key: g.key, Count: g.count, FirstSeen: g.first, LastSeen: g.last,
		Trend: g.trend.view(now), Recovered: g.recovered, RequestIDs: make([]string, 0, len(g.requestIDs)), Last: g.newest,
	}
	if calls > 0 {
		v.Share = min(1, float64(g.count-g.restored)/float64(calls))
	}
	for _, id := range slices.Backward(g.requestIDs) {
		v.RequestIDs = append(v.RequestIDs, id)
	}
	if r := g.newest; r != nil {
		v.Service, v.Type, v.Category, v.Blame = r.Service, r.Type, r.Category, r.Blame
		v.CatalogCode, v.Meaning, v.Advice, v.Message, v.LastID = r.CatalogCode, r.Meaning, r.Advice, r.Message, r.ID
		if c := r.Cause(); c != nil {
			v.Cause = c.Cause
		}
	}
	return v
}

// List returns all groups, the largest first and Other last. calls is the number
// of all calls, of which the share is computed.
func (t *Table) List(now time.Time, calls uint64) []Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Group, 0, len(t.groups)+1)
	for e := t.recent.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*group).view(now, calls))
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.ID, b.ID)) })
	if t.other != nil {
		all = append(all, t.other.view(now, calls))
	}
	return all
}

// Find returns the group with the ID.
func (t *Table) Find(id string, now time.Time, calls uint64) (Group, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id == Other && t.other != nil {
		return t.other.view(now, calls), true
	}
	for e := t.recent.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*group); g.id == id {
			return g.view(now, calls), true
		}
	}
	return Group{}, false
}

// Stats returns the state of the table.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{Groups: len(t.groups), Capacity: t.limit, Evicted: t.evicted}
}
