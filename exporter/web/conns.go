package web

import (
	"net"
	"net/http"
	"sync"
)

// conns limits the connections of a server. For one beyond the limit, another one is
// closed: the one that has been idle for longest or, if none is idle, the one whose
// request began first. So clients that keep connections, and readers that do not
// read, do not keep out health checks and scrapes.
type conns struct {
	max int

	mu   sync.Mutex // protects the fields below
	uses uint64
	open map[net.Conn]connUse
}

// connUse is what a connection does.
type connUse struct {
	active bool
	since  uint64 // counts changes of all connections
}

func newConns(limit int) *conns { return &conns{max: limit, open: make(map[net.Conn]connUse)} }

// note is the ConnState of an http.Server.
func (c *conns) note(nc net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.open[nc]
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.open, nc)
		return
	case http.StateNew:
		if len(c.open) >= c.max {
			c.closeOne()
		}
	case http.StateActive, http.StateIdle:
		if !known { // it was closed
			return
		}
	}
	c.uses++
	c.open[nc] = connUse{state == http.StateActive, c.uses}
}

func (c *conns) closeOne() {
	var first net.Conn
	var use connUse
	for nc, u := range c.open {
		if first == nil || use.active && !u.active || use.active == u.active && u.since < use.since {
			first, use = nc, u
		}
	}
	delete(c.open, first)
	if t, ok := first.(interface{ NetConn() net.Conn }); ok {
		first = t.NetConn() // closing TLS may wait for the client
	}
	first.Close()
}
