package relay

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Key names the upstreams among which a connection may be shared.
type Key struct {
	Host  string
	Port  uint16
	TLS   bool
	Epoch uint64 // of the rules by which the connection was made
	// Address is the server's, where the client's connection was bound for it;
	// else invalid.
	Address netip.AddrPort
}

// upstream is a connection to a server.
type upstream struct {
	link
	key       Key
	addr      netip.AddrPort
	path      path // in pool.ways; zero if it is not
	reused    bool
	idleSince time.Time
}

// pool keeps idle upstream connections. The one last used is taken first, so
// that as few as possible stay in use and the others can end.
type pool struct {
	maxIdle int
	timeout time.Duration
	open    atomic.Int64 // connections, idle or in use
	reused  atomic.Int64
	ways    ways

	mu     sync.Mutex // protects the fields below
	idle   map[Key]*stack
	count  int
	timer  *time.Timer // sweeps; runs while there are idle connections
	closed bool
}

type stack struct{ conns []*upstream }

func (p *pool) init(maxIdle int, timeout time.Duration) {
	p.maxIdle, p.timeout = maxIdle, timeout
	p.idle = make(map[Key]*stack)
}

func (p *pool) add(nc net.Conn, key Key, bufs *buffers) *upstream {
	u := &upstream{key: key}
	u.init(nc, bufs)
	u.addr, u.path = addrPort(nc.RemoteAddr()), p.ways.add(nc)
	p.open.Add(1)
	return u
}

// take returns a connection that was alive a moment ago, or nil.
func (p *pool) take(key Key) *upstream {
	for {
		u := p.pop(key)
		if u == nil {
			return nil
		}
		// Unread bytes on an idle connection are an answer to nothing.
		if u.peek() == sightNothing {
			u.reused = true
			p.reused.Add(1)
			return u
		}
		p.drop(u)
	}
}

func (p *pool) pop(key Key) *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.idle[key]
	if s == nil || len(s.conns) == 0 {
		return nil
	}
	last := len(s.conns) - 1
	u := s.conns[last]
	s.conns[last] = nil
	s.conns = s.conns[:last]
	p.count--
	return u
}

// put keeps u for the next request.
func (p *pool) put(u *upstream, now time.Time) {
	u.idleSince = now
	if !p.push(u) {
		p.drop(u)
	}
}

func (p *pool) push(u *upstream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.idle[u.key]
	if s == nil {
		s = &stack{}
		p.idle[u.key] = s
	}
	if p.closed || len(s.conns) >= p.maxIdle {
		return false
	}
	s.conns = append(s.conns, u)
	p.count++
	if p.timer == nil {
		p.timer = time.AfterFunc(p.timeout, p.sweep)
	}
	return true
}

// drop closes a connection.
func (p *pool) drop(u *upstream) {
	p.ways.remove(u.path)
	u.close()
	p.open.Add(-1)
}

// abort resets a connection.
func (p *pool) abort(u *upstream) {
	p.ways.remove(u.path)
	u.abort()
	p.open.Add(-1)
}

// sweep closes what has been idle for too long.
func (p *pool) sweep() {
	p.evict(time.Now().Add(-p.timeout))
}

// evict closes the connections idle since before.
func (p *pool) evict(before time.Time) {
	var old []*upstream
	p.mu.Lock()
	for key, s := range p.idle {
		n := 0 // the longest idle come first
		for n < len(s.conns) && !s.conns[n].idleSince.After(before) {
			n++
		}
		old = append(old, s.conns[:n]...)
		kept := copy(s.conns, s.conns[n:])
		clear(s.conns[kept:])
		s.conns = s.conns[:kept]
		if kept == 0 {
			delete(p.idle, key)
		}
	}
	p.count -= len(old)
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if p.count > 0 {
		p.timer = time.AfterFunc(max(p.timeout/4, time.Millisecond), p.sweep)
	}
	p.mu.Unlock()
	for _, u := range old {
		p.drop(u)
	}
}

// flush closes all idle connections.
func (p *pool) flush() { p.evict(time.Now().Add(time.Hour)) }

// close flushes the pool and takes no more.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.flush()
}

func (p *pool) idleCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
