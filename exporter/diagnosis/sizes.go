package diagnosis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	sizeBucket = 5 * 60 // half of the time that a size is remembered, in seconds
)

// SizeLimit is a limit on the size of a request.
type SizeLimit string

// The limits on the size of a request.
const (
	SizeMetrics SizeLimit = "metrics" // metrics in a batch
	SizeRecords SizeLimit = "records" // data points that the interval has room for
)

var sizeLimits = [...]SizeLimit{SizeMetrics, SizeRecords}

// sizes are the limits on the size of the requests of a usage, and the sizes of its
// last requests, in the order of sizeLimits.
type sizes struct {
	limits [len(sizeLimits)]int // 0 if there is none
	most   [len(sizeLimits)]peak
	warned atomic.Int64 // time of the last notice, in seconds since the epoch
}

// sizesOf returns the limits on the size of the requests of an action, or nil if none
// are documented.
func sizesOf(service, action, version string) *sizes {
	for _, a := range classify.KnownActions() {
		if a.Name == action && a.Version == version && (service == "" || a.Service == service) && a.MaxRecords > 0 {
			return &sizes{limits: [...]int{a.MaxMetrics, a.MaxRecords}}
		}
	}
	return nil
}

// peak is the maximum of the last one to two buckets. Each of its halves holds the
// time, in buckets since the epoch, in the upper half, and the maximum of that time in
// the lower half.
type peak [2]atomic.Uint64

// add adds a value, which is not negative.
func (p *peak) add(second int64, value int) {
	at := uint64(second) / sizeBucket //nolint:gosec // positive
	now := at<<32 | uint64(min(value, math.MaxUint32))
	slot := &p[at%2]
	for {
		old := slot.Load()
		if old>>32 == at && old >= now || slot.CompareAndSwap(old, now) {
			return
		}
	}
}

// max returns the maximum, and false if there was no value.
func (p *peak) max(second int64) (value int, ok bool) {
	at := uint64(second) / sizeBucket //nolint:gosec // positive
	for i := range p {
		if v := p[i].Load(); v>>32 == at || v>>32+1 == at {
			value, ok = max(value, int(v&math.MaxUint32)), true
		}
	}
	return value, ok
}

// values returns a size in the order of sizeLimits.
func values(s classify.Size) [len(sizeLimits)]int { return [...]int{s.Metrics, s.Records} }

// share returns the largest share of a limit that a request uses.
func (z *sizes) share(s classify.Size) float64 {
	most := 0.0
	for i, n := range values(s) {
		if z.limits[i] > 0 {
			most = max(most, float64(n)/float64(z.limits[i]))
		}
	}
	return most
}

// observeSize learns how much an attempt asks for. A size is near a limit if the attempt
// did not fail for it, which suspect excludes.
func (d *Diagnoser) observeSize(o *classify.Observation, u *usage, size classify.Size, suspect bool, second int64) {
	for i, n := range values(size) {
		if n > 0 && u.sizes.limits[i] > 0 {
			u.sizes.most[i].add(second, n)
		}
	}
	if last := u.sizes.warned.Load(); !suspect && u.sizes.share(size) >= limitWarn && second-last >= noticePause && u.sizes.warned.CompareAndSwap(last, second) {
		d.report(o, CauseSizeNear, SeverityWarn, u.sizeFacts(size)...)
	}
}

// sizeMatters reports whether a failure of the category may be due to the size of the
// request. The API documents that long intervals may time out, but not the code of a
// request that is too large.
func sizeMatters(c classify.Category) bool {
	switch c { //nolint:exhaustive // the others are about something else
	case classify.CategoryTooLarge, classify.CategoryTimeout, classify.CategoryRequest, classify.CategoryUnknown:
		return true
	}
	return false
}

// sizeFacts are the facts on the size of a request.
func (u *usage) sizeFacts(s classify.Size) []Fact {
	var parts []string
	for i, n := range values(s) {
		if limit := u.sizes.limits[i]; limit > 0 && n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d/%d (%d%%)", sizeLimits[i], n, limit, int64(100*float64(n)/float64(limit)+0.5)))
		}
	}
	return []Fact{
		{Name: "action", Value: orDash(u.action)},
		{Name: "sizes", Value: orDash(strings.Join(parts, ", "))},
	}
}

// oversized returns the diagnosis of a failed attempt with the usage u that asked for
// s, if that is more than the API allows or nearly so.
func oversized(o *classify.Observation, u *usage, s classify.Size) (Diagnosis, bool) {
	if u.sizes == nil || s == (classify.Size{}) {
		return Diagnosis{}, false
	}
	share := u.sizes.share(s)
	if share < limitWarn {
		return Diagnosis{}, false
	}
	sure := Possible
	switch c, above := o.Verdict.Category, share > 1; {
	case above && c == classify.CategoryTooLarge:
		sure = Certain
	case c == classify.CategoryTooLarge, above && c != classify.CategoryRequest:
		sure = Likely
	case c == classify.CategoryRequest && !above:
		return Diagnosis{}, false
	}
	return say(CauseSizeExceeded, sure, u.sizeFacts(s)...), true
}

// RequestSize is the size of the largest request of an action with one credential in
// the last five to ten minutes, relative to a limit.
type RequestSize struct {
	Credential, Action, Version string
	Limit                       SizeLimit
	Used                        float64 // share of the limit; may be above 1
}

// RequestSizes returns the sizes of requests by credential, action and limit.
func (d *Diagnoser) RequestSizes(now time.Time) []RequestSize {
	d.Flush()
	var list []RequestSize
	for e := range d.usages.all {
		u := &e.value
		if u.sizes == nil || u.key == &d.keys.other {
			continue
		}
		for k, limit := range sizeLimits {
			n, ok := u.sizes.most[k].max(now.Unix())
			if !ok {
				continue
			}
			s := RequestSize{Credential: u.credential, Action: u.action, Version: u.version, Limit: limit}
			s.Used = float64(n) / float64(u.sizes.limits[k])
			same := slices.IndexFunc(list, func(l RequestSize) bool { // of another service
				return l.Credential == s.Credential && l.Action == s.Action && l.Version == s.Version && l.Limit == s.Limit
			})
			if same < 0 {
				list = append(list, s)
			} else {
				list[same].Used = max(list[same].Used, s.Used)
			}
		}
	}
	slices.SortFunc(list, func(a, b RequestSize) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Credential, b.Credential), cmp.Compare(a.Limit, b.Limit))
	})
	return list
}
