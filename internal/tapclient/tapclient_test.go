package tapclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLocalURL(t *testing.T) {
	for address, want := range map[string]string{
		"": "http://127.0.0.1:18180", ":9": "http://127.0.0.1:9", "0.0.0.0:9": "http://127.0.0.1:9",
		"[::]:9": "http://127.0.0.1:9", "10.0.0.1:9": "http://10.0.0.1:9", "127.0.0.1:9\n127.0.0.1:10": "http://127.0.0.1:9",
	} {
		if got := LocalURL(address, "127.0.0.1:18180"); got != want {
			t.Errorf("%q: got %s, want %s", address, got, want)
		}
	}
}

// TestFollowReconnects checks that a stream that breaks off continues after the last
// event that was received.
func TestFollowReconnects(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var asked []string
	tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Last-Event-ID"))
		switch len(asked) {
		case 1:
			fmt.Fprint(w, "retry: 2000\n\n: heartbeat\n\nevent: group\ndata: {}\n\nevent: failure\nid: 000000000000007\ndata: {\"id\":\"000000000000007\"}\n\nevent: failure\ndata: {")
		default:
			interrupt()
		}
	}))
	defer tap.Close()
	var events []string
	broken := 0
	stream := Stream{
		URL: tap.URL,
		Event: func(name string, data []byte) error {
			events = append(events, name+" "+string(data))
			return nil
		},
		Missed: func() { t.Error("events were missed") },
		Broken: func(error) { broken++ },
	}
	require.NoError(t, stream.Follow(ctx))
	if want := []string{"group {}", `failure {"id":"000000000000007"}`}; !slices.Equal(events, want) || broken != 1 {
		t.Errorf("%q, broken %d times", events, broken)
	}
	if want := []string{firstID, "000000000000007"}; !slices.Equal(asked, want) {
		t.Errorf("asked for the events after %q", asked)
	}
}

// TestFollowEnds checks what ends following: an error of Event, and a refused request.
func TestFollowEnds(t *testing.T) {
	status := http.StatusOK
	tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, "event: missed\nid: 8\ndata: {}\n\nevent: failure\nid: 9\ndata: {}\n\n")
	}))
	defer tap.Close()
	missed := 0
	stream := Stream{
		URL: tap.URL, Last: "7",
		Event:  func(string, []byte) error { return io.ErrClosedPipe },
		Missed: func() { missed++ },
		Broken: func(err error) { t.Error(err) },
	}
	if err := stream.Follow(t.Context()); !errors.Is(err, io.ErrClosedPipe) || missed != 1 {
		t.Errorf("%v, missed %d", err, missed)
	}
	status = http.StatusBadRequest
	if err := stream.Follow(t.Context()); !errors.Is(err, Error{status, "400 Bad Request"}) {
		t.Errorf("got %v", err)
	}
}
