package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

// event is one server-sent event.
type event struct{ name, id, data string }

// stream is a client of the events.
type stream struct {
	t      *testing.T
	body   *bufio.Scanner
	cancel context.CancelFunc
	closed func()
}

// connect asks for events. The stream ends with the test.
func connect(t *testing.T, addr, query, last string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/v1/events"+query, http.NoBody)
	require.NoError(t, err)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	tr := &http.Transport{}
	res, err := tr.RoundTrip(r)
	require.NoError(t, err)
	s := &stream{t: t, body: bufio.NewScanner(res.Body), cancel: cancel, closed: func() {
		cancel()
		res.Body.Close()
		tr.CloseIdleConnections()
	}}
	t.Cleanup(s.closed)
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %s", res.StatusCode, got)
	}
	if !s.body.Scan() || s.body.Text() != "retry: 2000" || !s.body.Scan() {
		t.Fatalf("the stream begins with %q", s.body.Text())
	}
	return s
}

// next returns the next event. ok is false at the end of the stream.
func (s *stream) next() (e event, ok bool) {
	for s.body.Scan() {
		line := s.body.Text()
		if line == "" {
			return e, true
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		}
	}
	return e, false
}

// failure returns a failure with an ID and an action.
func failure(n int, action string) *record.Record {
	return &record.Record{ID: fmt.Sprintf("%015d", n), Action: action, Time: now}
}

// want checks that the next events are the failures with the numbers.
func (s *stream) want(numbers ...int) {
	s.t.Helper()
	for _, n := range numbers {
		e, ok := s.next()
		for ok && e.name == "group" {
			e, ok = s.next()
		}
		if id := fmt.Sprintf("%015d", n); !ok || e.name != "failure" || e.id != id || !strings.Contains(e.data, `"id":"`+id+`"`) {
			s.t.Fatalf("event %+v, want failure %s", e, id)
		}
	}
}

func TestEvents(t *testing.T) {
	opts := filled()
	opts.Journal = journal.New(4)
	add := func(r *record.Record) {
		opts.Groups.Add(r)
		opts.Journal.Add(r)
		opts.Feed.Publish(r)
	}
	addr := serve(t, web.ServerConfig{Handler: web.NewHandler(opts)}, 1)[0]
	t.Cleanup(opts.Feed.Close)
	add(failure(1, "a"))

	all, some := connect(t, addr, "", ""), connect(t, addr, "?action=b", "")
	opts.Feed.PublishNotice(&diagnosis.Notice{Credential: "billing", Diagnosis: diagnosis.Diagnosis{Cause: diagnosis.CauseKeyExpired}})
	for _, s := range []*stream{all, some} { // whatever the filter
		if e, ok := s.next(); !ok || e.name != "notice" || e.id != "" || !strings.Contains(e.data, `"credential":"billing"`) || !strings.Contains(e.data, `"cause":"key_expired"`) {
			t.Fatalf("event %+v, want the notice", e)
		}
	}
	add(failure(2, "a"))
	add(failure(3, "b"))
	all.want(2, 3)
	some.want(3)

	// The groups of both follow.
	seen := map[string]bool{}
	for len(seen) < 2 {
		e, ok := all.next()
		var g struct {
			ID, Action string
			Count      int
		}
		if err := json.Unmarshal([]byte(e.data), &g); err != nil || !ok || e.name != "group" || e.id != "" {
			t.Fatalf("event %+v, %v", e, err)
		}
		want := map[string]int{"a": 2, "b": 1}[g.Action]
		assert.Equal(t, want, g.Count, "group %+v, want %d failures", g, want)
		seen[g.ID] = true
	}
	all.closed()

	// After a reconnection, what was missed comes first.
	add(failure(4, "c"))
	again := connect(t, addr, "", fmt.Sprintf("%015d", 2))
	again.want(3, 4)
	add(failure(5, "c"))
	again.want(5)

	for n := 6; n < 12; n++ {
		add(failure(n, "c"))
	}
	late := connect(t, addr, "", fmt.Sprintf("%015d", 2))
	if e, ok := late.next(); !ok || e.name != "missed" || e.data != `{"since":"000000000000002"}` {
		t.Errorf("event %+v, want one that failures were missed", e)
	}
	late.want(8, 9, 10, 11)

	// The end of the feed is the end of the stream.
	opts.Feed.Close()
	for ok := true; ok; {
		_, ok = late.next()
	}
}

func TestTooManySubscribers(t *testing.T) {
	opts := filled()
	for range feed.MaxSubscribers {
		s, err := opts.Feed.Subscribe()
		require.NoError(t, err)
		defer s.Close()
	}
	h := web.NewHandler(opts)
	w := ask(h, http.MethodGet, "/api/v1/events")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too many subscribers") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBadLastEventID(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/api/v1/events", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Last-Event-ID", "x y")
	w := recordResponse(handler(nil), r)
	assert.Equal(t, http.StatusBadRequest, w.Code, "%s", w.Body)
}
