package feed_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func subscribe(t *testing.T, f *feed.Feed) *feed.Subscription {
	t.Helper()
	s, err := f.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
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
		if got := strings.Join(all, ""); got != tt.want {
			t.Errorf("received %q, want %q", got, tt.want)
		}
	}
	if _, err := f.Subscribe(); !errors.Is(err, feed.ErrClosed) {
		t.Errorf("subscribing after the end: %v", err)
	}
	if got := f.Stats(); got != (feed.Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

// TestSlow checks that a subscriber that does not read is dropped and counted, and
// that another one receives everything.
func TestSlow(t *testing.T) {
	var f feed.Feed
	slow, fast := subscribe(t, &f), subscribe(t, &f)
	for i := range feed.QueueSize + 1 {
		f.Publish(&record.Record{ID: strconv.Itoa(i)})
		if e := <-fast.C; e.Failure.ID != strconv.Itoa(i) {
			t.Fatalf("received %s, want %d", e.Failure.ID, i)
		}
	}
	n := 0
	for range slow.C {
		n++
	}
	if n != feed.QueueSize {
		t.Errorf("the slow one received %d, want %d", n, feed.QueueSize)
	}
	fast.Drop()
	fast.Drop()
	slow.Drop()
	if got := f.Stats(); got != (feed.Stats{Dropped: 2}) {
		t.Errorf("stats %+v", got)
	}
}

func TestMaxSubscribers(t *testing.T) {
	var f feed.Feed
	var all []*feed.Subscription
	for range feed.MaxSubscribers {
		all = append(all, subscribe(t, &f))
	}
	if _, err := f.Subscribe(); !errors.Is(err, feed.ErrFull) {
		t.Errorf("one subscriber too many: %v", err)
	}
	all[0].Close()
	subscribe(t, &f)
	if got := f.Stats().Subscribers; got != feed.MaxSubscribers {
		t.Errorf("%d subscribers", got)
	}
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
