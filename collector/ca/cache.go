package ca

import (
	"container/list"
	"crypto/tls"
	"sync"
	"time"
)

// cache keeps the most recently used leaves, and has each created only once.
type cache struct {
	max int

	mu      sync.Mutex // protects the fields below
	entries map[string]*list.Element
	order   *list.List // of *entry, the most recently used first
	evicted int64
}

// entry holds the leaf and the TLS configuration of one host.
type entry struct {
	host   string
	leaf   *leaf       // nil before the first was created
	flight *flight     // nil unless a leaf is being created
	config *tls.Config // nil before the first call of cache.config
}

// flight is a leaf being created. leaf and err are valid once done is closed.
type flight struct {
	done chan struct{}
	leaf *leaf
	err  error
}

func newCache(size int) *cache {
	return &cache{max: size, entries: make(map[string]*list.Element), order: list.New()}
}

// get returns the certificate for host if it was signed under v and is fresh.
// Otherwise it returns a flight. If mine is true, the caller must create the
// leaf and call land; if not, it waits for the flight.
func (c *cache) get(host string, v *view, now time.Time) (cert *tls.Certificate, f *flight, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(host)
	switch {
	case e.leaf != nil && e.leaf.view == v && e.leaf.fresh(now):
		return e.leaf.cert, nil, false
	case e.flight != nil:
		return nil, e.flight, false
	}
	e.flight = &flight{done: make(chan struct{})}
	return nil, e.flight, true
}

// land ends a flight. If it failed and host has no other leaf, its entry is
// removed.
func (c *cache) land(host string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	el, ok := c.entries[host]
	if !ok {
		return
	}
	e := el.Value.(*entry)
	if e.flight != f {
		return // the entry was evicted and has a new flight
	}
	e.flight = nil
	if f.err == nil {
		e.leaf = f.leaf
		return
	}
	if e.leaf == nil {
		c.order.Remove(el)
		delete(c.entries, host)
	}
}

// config returns the TLS configuration for host. It is made by create the first
// time.
func (c *cache) config(host string, create func() *tls.Config) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(host)
	if e.config == nil {
		e.config = create()
	}
	return e.config
}

// touch returns the entry of host as the most recently used one, and adds it if
// there is none. The caller holds c.mu.
func (c *cache) touch(host string) *entry {
	if el, ok := c.entries[host]; ok {
		c.order.MoveToFront(el)
		return el.Value.(*entry)
	}
	if c.order.Len() >= c.max {
		last := c.order.Back()
		delete(c.entries, c.order.Remove(last).(*entry).host)
		c.evicted++
	}
	e := &entry{host: host}
	c.entries[host] = c.order.PushFront(e)
	return e
}

// size returns the number of cached hosts, and of those evicted so far.
func (c *cache) size() (n int, evicted int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len(), c.evicted
}
