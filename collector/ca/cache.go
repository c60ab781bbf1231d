package ca

import (
	"container/list"
	"crypto/tls"
	"sync"
	"time"
)

// cache keeps the most recently used leaves.
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
	config *tls.Config // nil before the first call of cache.config
}

func newCache(size int) *cache {
	return &cache{max: size, entries: make(map[string]*list.Element), order: list.New()}
}

// get returns the certificate for host if it was signed under v and is fresh, or else
// nil.
func (c *cache) get(host string, v *view, now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.entries[host]
	if !ok {
		return nil
	}
	l := el.Value.(*entry).leaf
	if l == nil || l.view != v || !l.fresh(now) {
		return nil
	}
	c.order.MoveToFront(el)
	return l.cert
}

// put keeps a leaf.
func (c *cache) put(host string, l *leaf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touch(host).leaf = l
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
