package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

const (
	// followRetry is the pause before a stream of events is requested again.
	followRetry = 2 * time.Second
	// maxEvent is the maximum size of an event that is read.
	maxEvent = 1 << 20
)

// firstID is an ID before those of all failures.
var firstID = strings.Repeat("0", record.IDLength)

// followFailures prints the failures after last until ctx is done. A stream that
// breaks off is requested again, and continues where it was.
func (v *failuresVerb) followFailures(ctx context.Context, std stdio, tap string, q url.Values, last string, p printer) error {
	s := &failureStream{url: tap + "/api/v1/events?" + q.Encode(), last: cmp.Or(last, firstID)}
	broken := false
	for {
		err := s.read(ctx, func(name string, data []byte) error {
			broken = false
			return v.printEvent(std, p, s, name, data)
		})
		var api apiError
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the user ended it
		case errors.As(err, &api) && api.status < http.StatusInternalServerError:
			return noResponse(err)
		case errors.Is(err, errOutput):
			return err
		}
		if !broken {
			broken = true
			fmt.Fprintf(std.err, "ksyun-tap: %v; trying again every %v\n", cmp.Or(err, errStreamEnded), v.retry)
		}
		retry := time.NewTimer(v.retry)
		select {
		case <-ctx.Done():
			retry.Stop()
			return nil
		case <-retry.C:
		}
	}
}

// errOutput wraps the error of an output, after which following ends.
var errOutput = errors.New("write")

// printEvent prints one event of the stream.
func (v *failuresVerb) printEvent(std stdio, p printer, s *failureStream, name string, data []byte) error {
	switch name {
	case "failure":
		var r record.Record
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		if err := errors.Join(p.failure(&r, data), p.Flush()); err != nil {
			return fmt.Errorf("%w: %w", errOutput, err)
		}
	case "missed":
		if s.last != firstID {
			fmt.Fprintln(std.err, "ksyun-tap: some failures were evicted from the journal before they were read")
		}
	}
	return nil
}

// failureStream reads the stream of events.
type failureStream struct {
	url  string
	last string // ID of the last event
}

// read requests the stream and calls event for each event until the stream ends.
func (s *failureStream) read(ctx context.Context, event func(name string, data []byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return usageError{usererror.At("--url", err)}
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", s.last)
	res, err := tapClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var response struct{ Error string }
		_ = json.NewDecoder(io.LimitReader(res.Body, maxEvent)).Decode(&response)
		return apiError{res.StatusCode, cmp.Or(response.Error, res.Status)}
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	var name, id, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value // those of the tap are of one line
		case "":
			if lines.Text() != "" { // a comment
				continue
			}
			if data != "" {
				if err := event(name, []byte(data)); err != nil {
					return err
				}
				s.last = cmp.Or(id, s.last)
			}
			name, id, data = "", "", ""
		}
	}
	return lines.Err()
}
