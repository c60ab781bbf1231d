package cloudmonitor

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStory checks that the phases are played in their order and that calls fail as
// they say.
func TestStory(t *testing.T) {
	good := Credential{AccessKey: "AKLTgood000000000000", SecretKey: "s"}
	api := New(Config{Credentials: []Credential{good}})
	var mu sync.Mutex
	var phase string
	statuses := map[string][]int{} // by phase
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			statuses[phase] = append(statuses[phase], seen.status)
		}()
		api.ServeHTTP(seen, r)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	s := &Story{Traffic: &Traffic{Client: client, Host: strings.TrimPrefix(server.URL, "http://"), Good: good}, Server: api, Length: 50 * time.Millisecond}
	var names []string
	last := len(s.Phases())
	s.OnPhase = func(p Phase) {
		mu.Lock()
		defer mu.Unlock()
		phase = p.Name
		if names = append(names, p.Name); len(names) > last {
			cancel()
		}
	}
	s.Play(ctx, time.Millisecond)

	mu.Lock()
	defer mu.Unlock()
	for i, p := range s.Phases() {
		if names[i] != p.Name || p.Look == "" {
			t.Errorf("phase %d is %q, want %q", i, names[i], p.Name)
		}
		failed := slices.ContainsFunc(statuses[p.Name], func(status int) bool { return status != http.StatusOK })
		if want := p.Every > 0 && !strings.HasPrefix(p.Name, "batches"); failed != want {
			t.Errorf("%s: statuses %v", p.Name, statuses[p.Name])
		}
	}
}

type statusWriter struct {
	http.ResponseWriter

	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
