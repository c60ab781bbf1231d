package feed_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func subscribe(t *testing.T, f *feed.Feed) *feed.Subscription {
	t.Helper()
	s, err := f.Subscribe()
	require.NoError(t, err)
	return s
}

func TestPublish(t *testing.T) {
	var f feed.Feed
	f.Publish(&record.Record{ID: "before"})
	a, b := subscribe(t, &f), subscribe(t, &f)
	f.Publish(&record.Record{ID: "1"})
	b.Close()
	b.Close()
	f.PublishNotice(&diagnosis.Notice{Action: "n"})
	f.Publish(&record.Record{ID: "2"})
	f.Close()
	f.Publish(&record.Record{ID: "after"})
	a.Close()
	for _, tt := range []struct {
		s    *feed.Subscription
		want string
	}{{a, "1n2"}, {b, "1"}} {
		var all []string
		for e := range tt.s.C {
			if e.Notice != nil {
				all = append(all, e.Notice.Action)
				continue
			}
			all = append(all, e.Failure.ID)
		}
		assert.Equal(t, tt.want, strings.Join(all, ""), "received")
	}
	_, err := f.Subscribe()
	assert.ErrorIs(t, err, feed.ErrClosed, "subscribing after the end")
	assert.Equal(t, feed.Stats{}, f.Stats(), "stats")
}

// TestSlow checks that a subscriber that does not read is dropped and counted, that
// nothing is held for it any longer, and that another one receives everything.
func TestSlow(t *testing.T) {
	var f feed.Feed
	slow, fast := subscribe(t, &f), subscribe(t, &f)
	for i := range feed.QueueSize + 1 {
		f.Publish(&record.Record{ID: strconv.Itoa(i)})
		e := <-fast.C
		require.Equal(t, strconv.Itoa(i), e.Failure.ID, "received %s, want %d", e.Failure.ID, i)
	}
	_, ok := <-slow.C
	assert.False(t, ok, "the slow one received an event")
	fast.Drop()
	fast.Drop()
	slow.Drop()
	assert.Equal(t, feed.Stats{Dropped: 2}, f.Stats(), "stats")
}

func TestMaxSubscribers(t *testing.T) {
	var f feed.Feed
	var all []*feed.Subscription
	for range feed.MaxSubscribers {
		all = append(all, subscribe(t, &f))
	}
	_, err := f.Subscribe()
	assert.ErrorIs(t, err, feed.ErrFull, "one subscriber too many")
	all[0].Close()
	subscribe(t, &f)
	assert.Equal(t, feed.MaxSubscribers, f.Stats().Subscribers, "subscribers")
}

func TestConcurrentUse(t *testing.T) {
	var f feed.Feed
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				s, err := f.Subscribe()
				if err != nil {
					t.Error(err)
					return
				}
				f.Publish(&record.Record{})
				<-s.C
				s.Close()
			}
		})
	}
	wg.Wait()
	f.Close()
}

func BenchmarkPublishWithoutSubscribers(b *testing.B) {
	var f feed.Feed
	r := &record.Record{}
	b.ReportAllocs()
	for b.Loop() {
		f.Publish(r)
	}
}
