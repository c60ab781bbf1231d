// Package feed passes new failures and notices to subscribers as they happen.
//
//	Publish, PublishNotice ──> queue of each subscriber ──> Subscription.C
//
// Neither function blocks: a subscriber whose queue is full is dropped, and what it has not
// received is forgotten. So the failures that wait for any subscriber are among the last
// QueueSize, most of which the journal has as well, and their memory is bounded by
// record.MaxBytes for each.
package feed

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

const (
	// MaxSubscribers is the maximum number of subscriptions at a time.
	MaxSubscribers = 32
	// QueueSize is the maximum number of events that wait for a subscriber.
	QueueSize = 1024
)

// ErrFull and ErrClosed are the errors of Subscribe.
var (
	ErrFull   = errors.New("too many subscribers")
	ErrClosed = errors.New("shutting down")
)

// Feed is a set of subscriptions. The zero value is ready for use. It is safe for
// concurrent use.
type Feed struct {
	mu          sync.Mutex
	subscribers map[*Subscription]struct{}
	closed      bool
	count       atomic.Int32 // len(subscribers), for Publish
	dropped     atomic.Uint64
}

// Event is a failure or a notice; the other one is nil.
type Event struct {
	Failure *record.Record
	Notice  *diagnosis.Notice
}

// Subscription receives the events published after Subscribe.
type Subscription struct {
	// C is closed when the subscription ends: by Close, by Feed.Close, or, and then it has no
	// more events, because the subscriber was too slow.
	C    <-chan Event
	c    chan Event
	feed *Feed
}

// Stats is the state of a feed.
type Stats struct {
	Subscribers int
	Dropped     uint64 // subscribers that were too slow
}

// Subscribe adds a subscription. The caller must close it.
func (f *Feed) Subscribe() (*Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, ErrClosed
	case len(f.subscribers) >= MaxSubscribers:
		return nil, ErrFull
	case f.subscribers == nil:
		f.subscribers = make(map[*Subscription]struct{})
	}
	c := make(chan Event, QueueSize)
	s := &Subscription{C: c, c: c, feed: f}
	f.subscribers[s] = struct{}{}
	f.count.Store(int32(len(f.subscribers))) //nolint:gosec // at most MaxSubscribers
	return s, nil
}

// Publish passes r to all subscribers. r must not be modified afterwards.
func (f *Feed) Publish(r *record.Record) { f.publish(Event{Failure: r}) }

// PublishNotice passes n to all subscribers. n must not be modified afterwards.
func (f *Feed) PublishNotice(n *diagnosis.Notice) { f.publish(Event{Notice: n}) }

func (f *Feed) publish(e Event) {
	if f.count.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subscribers {
		select {
		case s.c <- e:
		default:
			f.dropped.Add(1)
			f.remove(s)
			s.forget()
		}
	}
}

// forget removes the waiting events, which a subscriber that does not read would hold.
func (s *Subscription) forget() {
	for range s.c { // until it is empty
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.remove(s)
}

// Drop ends the subscription and counts its subscriber as too slow, unless it has
// ended already.
func (s *Subscription) Drop() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if _, ok := s.feed.subscribers[s]; ok {
		s.feed.dropped.Add(1)
		s.feed.remove(s)
	}
}

// remove ends s, if it has not ended. The caller holds the lock.
func (f *Feed) remove(s *Subscription) {
	if _, ok := f.subscribers[s]; !ok {
		return
	}
	delete(f.subscribers, s)
	f.count.Store(int32(len(f.subscribers))) //nolint:gosec // at most MaxSubscribers
	close(s.c)
}

// Close ends all subscriptions. There are no new ones afterwards.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for s := range f.subscribers {
		f.remove(s)
	}
}

// Stats returns the state of the feed.
func (f *Feed) Stats() Stats {
	return Stats{Subscribers: int(f.count.Load()), Dropped: f.dropped.Load()}
}
