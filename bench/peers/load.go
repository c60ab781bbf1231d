//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// patience is the longest wait for a response before a run fails.
const patience = 10 * time.Second

// client simulates a program with several connections, each with at most one call.
type client struct {
	l         *loop
	responses *responses
	errors    int // percent of the calls that ask for an error
	now       func() time.Time

	request []byte
	number  int // offset of the call's number in request
	calls   int // in all runs so far
	idle    []*caller
	callers []*caller
	err     error

	progress time.Time // when a call last began or ended

	// completed is called with the latency of each call and reports whether the
	// connection makes the next call at once.
	completed func(now time.Time, latency time.Duration) (next bool)
}

// caller is one connection of a client.
type caller struct {
	sock  *sock
	begin time.Time // when its call was due
	check checker
}

// connect opens n connections, one after the other, and makes one call on each.
func (l *loop) connect(address string, config *tls.Config, n int, a *responses, errorPercent int) (*client, error) {
	c := &client{l: l, responses: a, errors: errorPercent, now: time.Now}
	c.request, c.number = requestBytes()
	for range n {
		k := &caller{sock: &sock{}}
		k.sock.received = func(p []byte, err error) bool { return c.received(k, p, err) }
		if err := c.dial(address, config, k.sock); err != nil {
			return nil, err
		}
		c.callers = append(c.callers, k)
		c.completed = func(time.Time, time.Duration) bool { return false }
		c.send(k, c.now())
		if err := c.drain(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// dial connects s. The upstream is served during the TLS handshake, because the
// proxy may connect to it before the handshake is complete.
func (c *client) dial(address string, config *tls.Config, s *sock) error {
	if config == nil {
		return c.l.dial(address, nil, s)
	}
	dialed := make(chan error, 1)
	go func() { dialed <- c.l.dial(address, config, s) }()
	for {
		select {
		case err := <-dialed:
			return err
		default:
			if err := c.l.wait(time.Millisecond); err != nil {
				return err
			}
			runtime.Gosched()
		}
	}
}

func (c *client) close() {
	for _, k := range c.callers {
		k.sock.close()
	}
}

// call sends the next request on the connection that has been idle the longest.
func (c *client) call(due time.Time) {
	k := c.idle[0]
	c.idle = c.idle[1:]
	c.send(k, due)
}

func (c *client) send(k *caller, due time.Time) {
	c.calls++
	number := c.request[c.number:][:digits]
	for i, n := digits-1, c.calls; i >= 0; i, n = i-1, n/10 {
		number[i] = byte('0' + n%10)
	}
	number[0] = '0'
	if c.calls*c.errors/100 != (c.calls-1)*c.errors/100 {
		number[0] = wantError
	}
	k.begin, c.progress = due, c.now()
	k.check.expect(c.responses.to(number), number)
	k.sock.send(c.request)
}

func (c *client) received(k *caller, p []byte, err error) (done bool) {
	if err != nil {
		c.err = errors.Join(c.err, fmt.Errorf("a connection ended: %w", err))
		return true
	}
	if k.check.want == nil {
		c.err = errors.Join(c.err, fmt.Errorf("bytes that no call asked for: %.80q", p))
		return true
	}
	complete, err := k.check.feed(p)
	if err != nil {
		c.err = errors.Join(c.err, err)
		k.sock.close()
		return true
	}
	if !complete {
		return false
	}
	k.check.want = nil
	now := c.now()
	c.progress = now
	if c.completed(now, now.Sub(k.begin)) {
		c.send(k, now)
	} else {
		c.idle = append(c.idle, k)
	}
	return true
}

// run is the result of a run.
type run struct {
	elapsed   time.Duration
	latencies []time.Duration
}

// runClosed makes calls for d, sequentially on each connection.
func (c *client) runClosed(d time.Duration) (run, error) {
	var r run
	begin := c.now()
	end := begin.Add(d)
	c.completed = func(now time.Time, latency time.Duration) bool {
		r.latencies = append(r.latencies, latency)
		return now.Before(end)
	}
	for len(c.idle) > 0 {
		c.call(c.now())
	}
	err := c.drain()
	r.elapsed = c.now().Sub(begin)
	return r, err
}

// runCount makes n calls, as fast as the connections respond.
func (c *client) runCount(n int) error {
	c.completed = func(time.Time, time.Duration) bool {
		n--
		return n >= 0
	}
	for len(c.idle) > 0 && n > 0 {
		n--
		c.call(c.now())
	}
	return c.drain()
}

// runOpen makes calls at a fixed rate for d. If no connection is idle, a call waits
// for one. Its latency is measured from when it was due.
func (c *client) runOpen(d, interval time.Duration) (run, error) {
	var r run
	c.completed = func(_ time.Time, latency time.Duration) bool {
		r.latencies = append(r.latencies, latency)
		return false
	}
	begin := c.now()
	end, due := begin.Add(d), begin
	for due.Before(end) && c.err == nil {
		for len(c.idle) > 0 && due.Before(end) && !c.now().Before(due) {
			c.call(due)
			due = due.Add(interval)
		}
		if err := c.wait(0); err != nil { // sleeping would delay calls
			return r, err
		}
	}
	err := c.drain()
	r.elapsed = c.now().Sub(begin)
	return r, err
}

// drain waits until all connections are idle.
func (c *client) drain() error {
	for len(c.idle) < len(c.callers) && c.err == nil {
		if err := c.wait(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return c.err
}

// wait calls loop.wait. It fails if calls are running and none has completed for
// longer than patience.
func (c *client) wait(timeout time.Duration) error {
	if err := c.l.wait(timeout); err != nil {
		return err
	}
	if running := len(c.callers) - len(c.idle); running > 0 && c.now().Sub(c.progress) > patience {
		return fmt.Errorf("%d of %d connections wait for a response, and none has arrived for %v", running, len(c.callers), patience)
	}
	return nil
}
