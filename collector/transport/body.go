package transport

import (
	"io"
	"net/http"
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// prefix keeps the first bytes of a stream and counts all of them.
type prefix struct {
	b     []byte
	limit int
	n     int64
}

// add records b and returns the part of it that was not kept.
func (p *prefix) add(b []byte) (rest []byte) {
	p.n += int64(len(b))
	keep := min(len(b), p.limit-len(p.b))
	p.b = append(p.b, b[:keep]...)
	return b[keep:]
}

// sentBody is a request's body that is recorded while it is read.
type sentBody struct {
	io.ReadCloser

	x *exchange
}

// Read implements io.Reader.
func (s *sentBody) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.x.sent.add(p[:max(n, 0)])
	if err != nil && err != io.EOF {
		s.x.sentErr = true
	}
	return n, err
}

// receivedBody is a response's body that is recorded while the program reads it.
type receivedBody struct {
	io.ReadCloser

	x      *exchange
	status int
	header http.Header

	mu   sync.Mutex // guards the fields below: Close may be called during Read
	kept prefix
	tail []byte // what was not kept, at least its last classify.TailBytes
}

// Read implements io.Reader.
func (b *receivedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	b.tail = append(b.tail, b.kept.add(p[:max(n, 0)])...)
	if len(b.tail) > 4*classify.TailBytes {
		b.tail = append(b.tail[:0], b.lastBytes()...)
	}
	b.mu.Unlock()
	if err != nil {
		b.finish(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *receivedBody) Close() error {
	b.finish(nil) // first, because closing makes a Read in progress fail
	return b.ReadCloser.Close()
}

// lastBytes returns the last classify.TailBytes of the tail. The caller holds
// the lock.
func (b *receivedBody) lastBytes() []byte { return b.tail[max(0, len(b.tail)-classify.TailBytes):] }

// finish ends the exchange: with io.EOF after a whole body, with nil if the
// program closed it, otherwise with the error of the read.
func (b *receivedBody) finish(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.x.t.cfg.Classifier
	b.x.end(func() (classify.Fault, classify.Verdict) {
		o := &b.x.obs
		response := classify.Response{Status: b.status, Header: classify.HeaderMap(b.header), Body: b.kept.b}
		o.ResponseHeader, o.ResponseBody = response.Header, response.Body
		if err != nil && err != io.EOF { //nolint:errorlint // a wrapped one is not the end
			fault := b.x.fault(err)
			v := c.Fault(fault, b.status)
			response.Truncated = true
			v.RequestID = c.RequestID(&response)
			return fault, v
		}
		o.Date = classify.ServerTime(response.Header)
		response.Truncated = err == nil || b.kept.n > int64(len(b.kept.b))
		if err == io.EOF && len(b.tail) > 0 { //nolint:errorlint // as above
			response.Tail = b.lastBytes()
		}
		v := c.Response(&o.Call, &response)
		o.ResponseTail = response.Tail
		if v.Outcome == classify.OutcomePartial {
			o.Items = c.Items(b.x.asked.Body, &response, v.FailedItems)
		}
		return classify.FaultNone, v
	}, b.kept.n)
}
