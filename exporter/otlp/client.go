package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ProxyFunc returns the proxy for a request, or nil for a direct connection.
type ProxyFunc = func(*http.Request) (*url.URL, error)

// Client sends encoded requests of one signal to a backend, by OTLP over HTTP or over
// gRPC, which is HTTP/2 with a frame around the message and the status in the trailer.
// A request that the backend did not accept for now is sent again. The SDK's exporters
// do the same, but each of them links the whole of gRPC, which is a tenth of the program.
//
// Send must not be called concurrently.
type Client struct {
	http     *http.Client
	url      string
	header   http.Header
	compress bool
	grpc     bool
	timeout  time.Duration // of one attempt to send
	pause    time.Duration // before the first attempt to send again; doubled for each further one

	buffer bytes.Buffer // memory of framed and compressed requests
	gzip   *gzip.Writer

	mu     sync.Mutex // guards bodies
	bodies []*body    // of the attempts to send the current request
}

const (
	firstPause = 5 * time.Second // as the SDK's
	lastPause  = 30 * time.Second

	maxReply = 1 << 20
	// maxKept is the capacity in bytes up to which the buffer is reused.
	maxKept = 2 << 20
)

// methods are the paths of gRPC methods by the path of the signal.
var methods = map[string]string{
	"v1/traces":  "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	"v1/logs":    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
	"v1/metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

// NewClient returns a client with the settings s. If find is nil, the proxy is taken
// from the environment. Call Close at the end.
func NewClient(s *Signal, find ProxyFunc) *Client {
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	c := &Client{
		http: &http.Client{}, header: http.Header{"User-Agent": {"ksyun-tap"}},
		compress: s.Gzip, grpc: s.Protocol == ProtocolGRPC, timeout: s.Timeout, pause: firstPause,
	}
	for name, value := range s.Headers {
		c.header.Set(name, value)
	}
	encoding := "Content-Encoding"
	if c.grpc {
		encoding = "Grpc-Encoding"
		c.http.Transport, c.url = s.grpcTransport(find)
		c.header.Set("Content-Type", "application/grpc")
		c.header.Set("Te", "trailers")
		c.header.Set("Grpc-Timeout", strconv.FormatInt(s.Timeout.Milliseconds(), 10)+"m")
	} else {
		c.http.Transport, c.url = s.transport(find), s.Endpoint.String()
		c.header.Set("Content-Type", mediaProtobuf)
		if s.Protocol == ProtocolJSON {
			c.header.Set("Content-Type", "application/json")
		}
	}
	if c.compress {
		c.header.Set(encoding, "gzip")
	}
	return c
}

// Close closes the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// temporary is why a request should be sent again.
type temporary struct {
	error
	after time.Duration // as the backend asks for
}

func (t *temporary) Unwrap() error { return t.error }

// Send sends a message, which is the concatenation of parts, until the backend has answered,
// or ctx is done. It does not retain them.
func (c *Client) Send(ctx context.Context, parts ...[]byte) error {
	request, err := c.encode(parts)
	if err != nil {
		return err
	}
	defer c.release()
	var last error
	for pause := c.pause; ; pause = min(2*pause, lastPause) {
		err := c.attempt(ctx, request)
		var again *temporary
		if !errors.As(err, &again) {
			return err
		}
		if last == nil || ctx.Err() == nil { // otherwise, err is only that ctx is done
			last = err
		}
		timer := time.NewTimer(max(again.after, pause/2+rand.N(pause))) //nolint:gosec // not a secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; the last error was: %w", ctx.Err(), last)
		}
	}
}

// encode returns the message as the body of a request, compressed and framed if needed.
func (c *Client) encode(parts [][]byte) ([][]byte, error) {
	if !c.compress && !c.grpc {
		return parts, nil
	}
	c.buffer.Reset()
	if c.grpc {
		_, _ = c.buffer.Write(make([]byte, frameHeader))
	}
	to := io.Writer(&c.buffer)
	if c.compress {
		if c.gzip == nil {
			c.gzip = gzip.NewWriter(&c.buffer)
		}
		c.gzip.Reset(&c.buffer)
		to = c.gzip
	}
	for _, part := range parts {
		if _, err := to.Write(part); err != nil {
			return nil, err
		}
	}
	if c.compress {
		if err := c.gzip.Close(); err != nil {
			return nil, err
		}
	}
	request := c.buffer.Bytes()
	if c.grpc {
		if c.compress {
			request[0] = 1
		}
		binary.BigEndian.PutUint32(request[1:], uint32(len(request)-frameHeader)) //nolint:gosec // a batch is much smaller
	}
	return [][]byte{request}, nil
}

// attempt sends a request once.
func (c *Client) attempt(ctx context.Context, request [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, c.body(request))
	if err != nil {
		return err
	}
	r.Header = c.header.Clone()
	for _, part := range request {
		r.ContentLength += int64(len(part))
	}
	r.GetBody = func() (io.ReadCloser, error) { return c.body(request), nil }
	resp, err := c.http.Do(r)
	if err != nil {
		return &temporary{error: err}
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply)) // the trailer follows
	if err != nil {
		return &temporary{error: err}
	}
	if c.grpc && resp.StatusCode == http.StatusOK {
		return grpcResult(cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status")),
			cmp.Or(resp.Trailer.Get("Grpc-Message"), resp.Header.Get("Grpc-Message")), reply)
	}
	return httpResult(resp, reply)
}

// body returns a body with the request.
func (c *Client) body(request [][]byte) *body {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &body{rest: slices.Clone(request)}
	c.bodies = append(c.bodies, b)
	return b
}

// release ends the use of the memory of the request.
func (c *Client) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bodies {
		_ = b.Close()
	}
	clear(c.bodies)
	c.bodies = c.bodies[:0]
	if c.buffer.Cap() > maxKept {
		c.buffer = bytes.Buffer{}
	}
}

// body is the body of a request. It does not use the request's memory after Close:
// a transport may still read when the response has arrived.
type body struct {
	mu   sync.Mutex // guards rest
	rest net.Buffers
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rest.Read(p)
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = nil
	return nil
}
