package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
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
		l.run(func() { res.hold(next, r) })
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

// compressed returns a handler that compresses the responses of next, which must not be
// streams.
func compressed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		res := held{ResponseWriter: w}
		res.hold(next, r)
		res.send()
	}
}

// held is a response that is held in memory.
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

// minCompressed is the size in bytes below which a response is not compressed.
const minCompressed = 1024

var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// hold has next respond to r. If the client accepts it and that is of use, the response is
// compressed with gzip.
func (h *held) hold(next http.HandlerFunc, r *http.Request) {
	next(h, r)
	header := h.Header()
	header.Add("Vary", "Accept-Encoding")
	if h.body.Len() < minCompressed || !acceptsGzip(r.Header.Values("Accept-Encoding")) || r.Header.Get("Range") != "" {
		return
	}
	header.Del("Accept-Ranges")
	header.Set("Content-Encoding", "gzip")
	var out bytes.Buffer
	z := compressors.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
	z.Reset(&out)
	_, _ = h.body.WriteTo(z) // to memory, as is the rest
	_ = z.Close()
	z.Reset(nil)
	compressors.Put(z)
	header.Set("Content-Length", strconv.Itoa(out.Len()))
	h.body = out
}

// send sends the response.
func (h *held) send() {
	if h.status != 0 {
		h.ResponseWriter.WriteHeader(h.status)
	}
	_, _ = h.body.WriteTo(h.ResponseWriter) // the client is gone
}

// acceptsGzip reports whether the values of Accept-Encoding name gzip with a weight
// above 0.
func acceptsGzip(values []string) bool {
	for coding := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, weight, weighted := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, _ := strings.Cut(weight, "=")
		n, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return !weighted || err == nil && n > 0
	}
	return false
}
