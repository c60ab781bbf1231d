package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// The intervals of the event stream.
const (
	heartbeatInterval = 15 * time.Second
	groupInterval     = time.Second // a group is sent at most so often
	eventTimeout      = 10 * time.Second
	retryMillis       = 2000 // after which a browser connects again
	maxReplay         = maxLimit
)

// events serves new failures, changed groups and notices as server-sent events:
//
//	event: failure   data: a failure, as in the list of failures; id: its ID
//	event: group     data: a group, as in the list of groups, at most once per second
//	event: notice    data: a notice, as in the list of notices, whatever the filter
//	event: missed    data: {"since": ID}: failures after that one were missed
//
// After a reconnection with Last-Event-ID, the failures since then are sent first.
func (a api) events(w http.ResponseWriter, r *http.Request, q *query) {
	last := r.Header.Get("Last-Event-ID")
	if last != "" && checkCursor(last) != nil {
		fail(w, http.StatusBadRequest, errBadData, "invalid field Last-Event-ID: want the ID of a failure")
		return
	}
	s, err := a.Feed.Subscribe()
	if err != nil {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, errUnavailable, err.Error())
		return
	}
	defer s.Close()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx would wait for more
	stream := stream{api: a, w: w, control: http.NewResponseController(w), query: q, changed: map[string]struct{}{}}
	if err := stream.serve(r.Context(), s, last); err != nil {
		s.Drop()
	}
}

// stream is one client's event stream.
type stream struct {
	api

	w       http.ResponseWriter
	control *http.ResponseController
	query   *query
	last    string              // ID of the last failure that was sent or skipped
	changed map[string]struct{} // IDs of groups that were not sent since they changed
}

// serve sends events until the client disconnects or the feed is closed. It
// returns an error if the client is too slow.
func (s *stream) serve(ctx context.Context, sub *feed.Subscription, last string) error {
	if err := s.write(fmt.Appendf(nil, "retry: %d\n\n", retryMillis)); err != nil {
		return err
	}
	if last != "" {
		if err := s.replay(ctx, last); err != nil {
			return err
		}
	}
	heartbeat, groups := time.NewTicker(heartbeatInterval), time.NewTicker(groupInterval)
	defer heartbeat.Stop()
	defer groups.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-heartbeat.C:
			err = s.write([]byte(": heartbeat\n\n"))
		case <-groups.C:
			err = s.sendGroups()
		case e, ok := <-sub.C:
			switch {
			case !ok:
				return s.sendGroups()
			case e.Notice != nil:
				err = s.event("notice", "", e.Notice)
			default:
				err = s.sendFailure(e.Failure)
			}
		}
		if err != nil {
			return err
		}
	}
}

// replay sends the failures since the last one that the client received.
func (s *stream) replay(ctx context.Context, last string) error {
	page, more := s.Journal.Select(ctx, &s.query.filter, "", maxReplay)
	older := slices.IndexFunc(page, func(r *record.Record) bool { return r.ID <= last })
	if older >= 0 {
		page = page[:older]
	} else if more || s.Journal.Stats().Evicted > 0 {
		if err := s.event("missed", "", map[string]string{"since": last}); err != nil {
			return err
		}
	}
	s.last = last
	for _, r := range slices.Backward(page) {
		if err := s.sendFailure(r); err != nil {
			return err
		}
	}
	return nil
}

// sendFailure sends r if it matches the filter and was not sent before.
func (s *stream) sendFailure(r *record.Record) error {
	if r.ID <= s.last && s.last != "" {
		return nil
	}
	s.last = r.ID
	if !s.query.filter.Matches(r) {
		return nil
	}
	if r.Group != "" {
		s.changed[r.Group] = struct{}{}
	}
	return s.event("failure", r.ID, r)
}

// sendGroups sends the groups that have changed.
func (s *stream) sendGroups() error {
	for _, id := range sortedKeys(s.changed) {
		delete(s.changed, id)
		if g, ok := s.Groups.Find(id, s.Now(), s.Activity.Calls()); ok {
			if err := s.event("group", "", g); err != nil {
				return err
			}
		}
	}
	return nil
}

// event sends one event. The client remembers id, unless it is "".
func (s *stream) event(name, id string, data any) error {
	b := fmt.Appendf(nil, "event: %s\n", name)
	if id != "" {
		b = fmt.Appendf(b, "id: %s\n", id)
	}
	return s.write(fmt.Appendf(b, "data: %s\n", encode(data))) // one line, which ends the field
}

// write sends b at once.
func (s *stream) write(b []byte) error {
	// The deadline of the server would end the stream. Not every ResponseWriter
	// supports one.
	_ = s.control.SetWriteDeadline(time.Now().Add(eventTimeout))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}
