package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxRepeats = 4096 // number of slots for recent queries
	// repeatSeconds is how long the result of a query could have been used again.
	// The data of Cloud Monitor has a period of at least a minute.
	repeatSeconds = 60
	// The minimum share, in percent, and number of redundant calls for a diagnosis.
	redundantPercent = 10
	redundantCalls   = 30
	maxWorst         = 3 // number of actions that a diagnosis lists
)

// RedundantReason is why a call could have been saved.
type RedundantReason string

// The reasons.
const (
	RedundantOtherClient RedundantReason = "other_client" // another program had asked the same
	RedundantTooOften    RedundantReason = "too_often"    // the program itself had
)

var redundantReasons = [...]RedundantReason{RedundantOtherClient, RedundantTooOften}

// repeats remembers the last successful queries. A query whose slot is taken by
// another one is forgotten, so that repeats may be missed, but none is invented.
type repeats [maxRepeats]struct {
	key  atomic.Uint64 // what was asked, with which credential
	seen atomic.Uint64 // when, in seconds since the epoch, and by which program: see pack
}

// pack returns the time and the program of a query as one value.
func pack(second int64, o *classify.Observation) uint64 {
	return uint64(second)<<32 | first(o.Client.Addr().Unmap())&(1<<32-1) //nolint:gosec // positive; the upper bits are cut off
}

// observeRepeat learns from a successful attempt, and counts it if its result was
// known already.
func (d *Diagnoser) observeRepeat(o *classify.Observation, u *usage) {
	if u == nil || !u.act.reads || o.Call.Fingerprint == 0 || o.Call.Unread != classify.UnreadNone ||
		o.Verdict.Outcome != classify.OutcomeSuccess || o.Source == classify.SourceCSM {
		return
	}
	key := o.Call.Fingerprint ^ u.hash
	slot := &d.repeats[key%maxRepeats]
	second := o.End.Unix()
	if slot.key.Load() == key {
		seen := slot.seen.Load()
		if age := second - int64(seen>>32); age >= 0 && age < repeatSeconds {
			reason := 1
			if uint32(seen) != uint32(first(o.Client.Addr().Unmap())) { //nolint:gosec // its lower half
				reason = 0
			}
			u.act.redundant[reason].Add(1)
			return
		}
	}
	slot.key.Store(key)
	slot.seen.Store(pack(second, o))
}

// isRead reports whether an action reads, by its name.
func isRead(action string) bool {
	for _, prefix := range [...]string{"Get", "List", "Describe", "Query"} {
		if strings.HasPrefix(action, prefix) {
			return true
		}
	}
	return false
}

// redundant returns the diagnosis of a throttled attempt if many calls could have
// been saved. It lists the actions with the most of them.
func (d *Diagnoser) redundant(o *classify.Observation) (Diagnosis, bool) {
	if o.Verdict.Category != classify.CategoryThrottled {
		return Diagnosis{}, false
	}
	type count struct {
		name string
		n    uint64
	}
	var all []count
	calls, saved := uint64(0), uint64(0)
	for _, a := range d.actions.all() {
		n := a.redundant[0].Load() + a.redundant[1].Load()
		calls += a.outcomes[0].Load() + a.outcomes[1].Load()
		saved += n
		if n > 0 {
			all = append(all, count{a.name.action, n})
		}
	}
	if saved < redundantCalls || 100*saved < redundantPercent*calls {
		return Diagnosis{}, false
	}
	slices.SortStableFunc(all, func(a, b count) int { return cmp.Compare(b.n, a.n) })
	var worst []string
	for _, c := range all[:min(len(all), maxWorst)] {
		worst = append(worst, fmt.Sprintf("%s (%d)", orDash(c.name), c.n))
	}
	return say(CauseCallsRedundant, Possible,
		classify.Fact{Name: "calls", Value: strconv.FormatUint(calls, 10)},
		classify.Fact{Name: "redundant", Value: strconv.FormatUint(saved, 10)},
		classify.Fact{Name: "share", Value: strconv.FormatUint(100*saved/max(1, calls), 10)},
		classify.Fact{Name: "worst", Value: strings.Join(worst, ", ")}), true
}
