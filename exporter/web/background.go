package web

import (
	"bytes"
	"net/http"
	"runtime"
)

// lane serves one request at a time, in the order in which they came, on a thread with
// a low priority: people can wait longer for a page than programs for the relay.
type lane chan struct{}

func newLane() lane { return make(lane, 1) }

// serve returns a handler that serves requests with next. Their responses are sent from
// memory, so that a client that reads slowly delays nobody else. A request that its
// client gives up meanwhile is not served.
func (l lane) serve(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case l <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		res := held{ResponseWriter: w}
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			runtime.LockOSThread() // it ends with the goroutine, because it is never unlocked
			lowerPriority()
			next(&res, r)
		}()
		panicked := <-done
		<-l
		if panicked != nil {
			panic(panicked) // as if it were served here
		}
		res.send()
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
