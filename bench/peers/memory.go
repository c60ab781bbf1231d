//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// settled is how long a process is idle before its memory is read: the tap returns memory after
// five to six seconds.
const settled = 7 * time.Second

// measureMemory measures the memory of one contender, in a fresh process for each
// figure.
func (b *bench) measureMemory(what, name string) error {
	files, w := usualFiles, ways[0]
	if what == memoryPairs || what == memoryTLSPairs {
		files = filesFor(b.pairs)
	}
	if what == memoryTLSPairs {
		w = ways[2]
	}
	return b.onSite(w, 1, files, func(l *loop, s *site, a *responses) (err error) {
		p, err := s.launch(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		var bytes float64
		switch what {
		case memoryIdle:
			bytes, err = l.idleMemory(p)
		case memoryCalls:
			bytes, err = memoryAfter(l, p, a, b.calls)
		case memoryPairs, memoryTLSPairs:
			bytes, err = memoryPerPair(l, p, a, b.pairs)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if b.results.memory[what] == nil {
			b.results.memory[what] = map[string]float64{}
		}
		b.results.memory[what][name] = bytes
		fmt.Fprintf(os.Stderr, "%s: %s\n", what, name)
		return nil
	})
}

// idleMemory returns the resident memory of a process that has been idle for settled.
func (l *loop) idleMemory(p *proxy) (float64, error) {
	if err := l.settle(settled); err != nil {
		return 0, err
	}
	return p.rss()
}

// memoryAfter returns the resident memory after calls on 64 connections.
func memoryAfter(l *loop, p *proxy, a *responses, calls int) (float64, error) {
	c, err := l.connect(p.address, p.clientTLS(), 64, a, 10)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.runCount(calls); err != nil {
		return 0, err
	}
	return l.idleMemory(p)
}

// memoryPerPair returns the memory per connection of n connections that made one call
// and are idle. The memory after the first thousand calls of the process is subtracted.
// At the end each connection makes another call, to verify that it is still open.
func memoryPerPair(l *loop, p *proxy, a *responses, n int) (float64, error) {
	first, err := l.connect(p.address, p.clientTLS(), 1, a, 0)
	if err != nil {
		return 0, err
	}
	defer first.close()
	if err := first.runCount(1000); err != nil {
		return 0, err
	}
	before, err := l.idleMemory(p)
	if err != nil {
		return 0, err
	}
	c, err := l.connect(p.address, p.clientTLS(), n, a, 0)
	if err != nil {
		return 0, err
	}
	defer c.close()
	after, err := l.idleMemory(p)
	if err != nil {
		return 0, err
	}
	for range n { // on the connection that has been idle the longest
		if err := c.runCount(1); err != nil {
			return 0, err
		}
	}
	return (after - before) / float64(n), nil
}
