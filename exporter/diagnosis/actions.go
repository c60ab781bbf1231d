package diagnosis

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// MaxActions is the maximum number of pairs of service and action that are
	// counted separately. The others are counted together, as OtherAction.
	MaxActions = 256
	// OtherAction is the service and the action of the pairs beyond MaxActions.
	OtherAction = "_other"
)

// unknownName is the service or the action of calls whose request does not name it.
const unknownName = "unknown"

// actionName identifies an action.
type actionName struct{ service, action string }

// action counts the calls of one action. Its counters only grow.
type action struct {
	name      actionName
	outcomes  [len(callOutcomes)]atomic.Uint64
	attempts  [len(AttemptBuckets)]atomic.Uint64 // calls by number of attempts, at most the bucket's, without those that succeeded at once
	sum       atomic.Uint64                      // of the attempts of these calls
	retries   [len(retryResults)]atomic.Uint64
	reads     bool
	redundant [len(redundantReasons)]atomic.Uint64
	reported  atomic.Int64 // time of the last notice about wasted retries, in seconds since the epoch
}

// actions remembers actions. It only grows, up to MaxActions.
type actions struct {
	mu    sync.Mutex
	known map[actionName]*action
	other action
}

// of returns the action with the given name, or actions.other if there are too many.
func (s *actions) of(name actionName) *action {
	name = actionName{cmp.Or(name.service, unknownName), cmp.Or(name.action, unknownName)}
	if name == (actionName{OtherAction, OtherAction}) {
		return &s.other
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.known[name]; a != nil {
		return a
	}
	if len(s.known) >= MaxActions {
		return &s.other
	}
	a := &action{name: name, reads: isRead(name.action)}
	s.known[name] = a
	return a
}

// all returns every action, ordered by name.
func (s *actions) all() []*action {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*action, 0, len(s.known)+1)
	for _, a := range s.known {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *action) int {
		return cmp.Or(cmp.Compare(a.name.service, b.name.service), cmp.Compare(a.name.action, b.name.action))
	})
	return append(all, &s.other)
}
