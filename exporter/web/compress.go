package web

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// minCompressed is the size in bytes below which a response of known size is not
// compressed.
const minCompressed = 1024

var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// compressed compresses the responses of next with gzip for clients that accept it. They
// must not be streams.
func compressed(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !acceptsGzip(r.Header.Values("Accept-Encoding")) || r.Header.Get("Range") != "" {
			next.ServeHTTP(w, r)
			return
		}
		c := &compressing{ResponseWriter: w}
		defer c.close()
		next.ServeHTTP(c, r)
	}
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

// compressing is a response that is compressed, if that is of use.
type compressing struct {
	http.ResponseWriter
	decided bool
	gzip    *gzip.Writer // nil if it is not compressed
}

// WriteHeader implements http.ResponseWriter.
func (c *compressing) WriteHeader(status int) {
	if !c.decided {
		c.decided = true
		h := c.Header()
		size, err := strconv.Atoi(h.Get("Content-Length"))
		if bodyless := status < 200 || status == http.StatusNoContent || status == http.StatusNotModified; !bodyless &&
			h.Get("Content-Encoding") == "" && (err != nil || size >= minCompressed) {
			h.Del("Content-Length")
			h.Del("Accept-Ranges")
			h.Set("Content-Encoding", "gzip")
			c.gzip = compressors.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
			c.gzip.Reset(c.ResponseWriter)
		}
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *compressing) Write(p []byte) (int, error) {
	if !c.decided {
		if c.Header().Get("Content-Type") == "" {
			c.Header().Set("Content-Type", http.DetectContentType(p))
		}
		c.WriteHeader(http.StatusOK)
	}
	if c.gzip == nil {
		return c.ResponseWriter.Write(p)
	}
	return c.gzip.Write(p)
}

// close ends the response.
func (c *compressing) close() {
	if c.gzip == nil {
		return
	}
	_ = c.gzip.Close() // the client is gone
	c.gzip.Reset(nil)
	compressors.Put(c.gzip)
}
