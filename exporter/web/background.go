package web

import (
	"bytes"
	"net/http"
	"runtime"
)

// lane serves one request at a time, in the order in which they came.
type lane struct {
	turn chan struct{} // full while a request is served
	low  bool          // serve on a thread with a low priority
}

func newLane(low bool) lane { return lane{make(chan struct{}, 1), low} }

// serve returns a handler that serves requests with next. Their responses are sent from
// memory, so that a client that reads slowly delays nobody else. A request that its
// client gives up meanwhile is not served.
func (l lane) serve(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case l.turn <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		res := held{ResponseWriter: w}
		l.run(func() { next(&res, r) })
		res.send()
	}
}

// run calls f and ends the turn. If f panics, so does run.
func (l lane) run(f func()) {
	defer func() { <-l.turn }()
	if !l.low {
		f()
		return
	}
	done := make(chan any)
	go func() {
		defer func() { done <- recover() }()
		runtime.LockOSThread() // it ends with the goroutine, because it is never unlocked
		lowerPriority()
		f()
	}()
	if v := <-done; v != nil {
		panic(v)
	}
}

// held is a response that is held back.
type held struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

// Write implements http.ResponseWriter.
func (h *held) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

// send sends the response.
func (h *held) send() {
	if h.status != 0 {
		h.ResponseWriter.WriteHeader(h.status)
	}
	_, _ = h.body.WriteTo(h.ResponseWriter) // the client is gone
}
