package tapclient

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// maxEvent is the maximum size of an event that is read.
const maxEvent = 1 << 20

// firstID is an ID before those of all failures.
var firstID = strings.Repeat("0", record.IDLength)

// errEnded is the error of a stream that the tap ended.
var errEnded = errors.New("the tap ended the stream")

// Stream is the stream of a tap's events.
type Stream struct {
	URL   string        // with the path and parameters of the API
	Last  string        // ID of the last event; "" for all that the tap keeps
	Retry time.Duration // pause before a stream that broke off is requested again

	// Event is called for each event. Its error ends Follow.
	Event func(name string, data []byte) error
	// Missed is called if events after Last were evicted before they were read.
	Missed func()
	// Broken is called when the stream breaks off, once until there is another event.
	Broken func(err error)
}

// Follow reads the events after Last until ctx is done. A stream that breaks off is
// requested again, and continues where it was, unless the tap refuses the request,
// which is an Error.
func (s *Stream) Follow(ctx context.Context) error {
	s.Last = cmp.Or(s.Last, firstID)
	broken := false
	for {
		var failed error
		err := s.read(ctx, func(name string, data []byte) error {
			broken = false
			if name == "missed" {
				if s.Last != firstID {
					s.Missed()
				}
				return nil
			}
			failed = s.Event(name, data)
			return failed
		})
		refused, ok := errors.AsType[Error](err)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the user ended it
		case failed != nil:
			return failed
		case ok && refused.Status < http.StatusInternalServerError:
			return refused
		}
		if !broken {
			broken = true
			s.Broken(cmp.Or(err, errEnded))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.Retry):
		}
	}
}

// read requests the stream and calls event for each event until the stream ends.
func (s *Stream) read(ctx context.Context, event func(name string, data []byte) error) error {
	res, err := send(ctx, s.URL, http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {s.Last}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var response struct{ Error string }
		_ = json.NewDecoder(io.LimitReader(res.Body, maxEvent)).Decode(&response)
		return Error{res.StatusCode, cmp.Or(response.Error, res.Status)}
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
				s.Last = cmp.Or(id, s.Last)
			}
			name, id, data = "", "", ""
		}
	}
	return lines.Err()
}
