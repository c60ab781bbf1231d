package traces

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
)

// upload sends encoded requests by the SDK's client, which knows what to send again
// and when. The client would make a copy of each request, so it is given an empty
// one, in the place of which the transport of its http.Client sends the encoded one.
//
//	Send ──> SDK's client ──empty request──> RoundTrip ──request──> backend
type upload struct {
	sdk      otlptrace.Client
	next     http.RoundTripper
	compress bool

	request    []byte       // the request of Send
	compressed bytes.Buffer // memory of compressed requests
	gzip       *gzip.Writer

	mu     sync.Mutex // guards bodies
	bodies []*body    // of the attempts to send the request
}

// Send implements client.
func (u *upload) Send(ctx context.Context, request []byte) error {
	if u.compress {
		var err error
		if request, err = u.pack(request); err != nil {
			return err
		}
	}
	u.request = request
	defer u.release()
	return u.sdk.UploadTraces(ctx, nil)
}

// Stop implements client.
func (u *upload) Stop(ctx context.Context) error { return u.sdk.Stop(ctx) }

// pack returns the compressed request.
func (u *upload) pack(request []byte) ([]byte, error) {
	u.compressed.Reset()
	if u.gzip == nil {
		u.gzip = gzip.NewWriter(&u.compressed)
	}
	u.gzip.Reset(&u.compressed)
	if _, err := u.gzip.Write(request); err != nil {
		return nil, err
	}
	if err := u.gzip.Close(); err != nil {
		return nil, err
	}
	return u.compressed.Bytes(), nil
}

// release ends the use of the request's memory.
func (u *upload) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range u.bodies {
		_ = b.Close()
	}
	clear(u.bodies)
	u.bodies = u.bodies[:0]
	u.request = nil
	if u.compressed.Cap() > maxKeptRequest {
		u.compressed = bytes.Buffer{}
	}
}

// RoundTrip implements http.RoundTripper.
func (u *upload) RoundTrip(empty *http.Request) (*http.Response, error) {
	_ = empty.Body.Close()
	r := empty.Clone(empty.Context())
	r.ContentLength = int64(len(u.request))
	r.GetBody = func() (io.ReadCloser, error) { return u.body(), nil }
	r.Body = u.body()
	if u.compress {
		r.Header.Set("Content-Encoding", "gzip")
	}
	return u.next.RoundTrip(r)
}

// CloseIdleConnections is called by the method of the same name of http.Client.
func (u *upload) CloseIdleConnections() {
	if c, ok := u.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body returns a body with the request.
func (u *upload) body() *body {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := &body{rest: u.request}
	u.bodies = append(u.bodies, b)
	return b
}

// body is the body of a request. It does not use the request's memory after Close:
// a transport may still read when the response has arrived.
type body struct {
	mu   sync.Mutex // guards rest
	rest []byte
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = nil
	return nil
}
