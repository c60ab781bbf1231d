package relay

import (
	"net"
	"syscall"
)

// What the system may queue for one direction of a connection, in bytes. usualQueue is
// what it receives ahead by itself, to begin with.
const (
	leastQueue = 8 << 10
	usualQueue = 64 << 10
	mostQueue  = 128 << 10
)

// queueSize returns what the system should queue for each direction of a new connection,
// so that all of them fit.
func (s *Server) queueSize() int {
	if s.cfg.QueueBytes == 0 {
		return mostQueue
	}
	s.mu.Lock()
	n := len(s.pairs)
	s.mu.Unlock()
	const queues = 4 // of a pair
	return int(max(leastQueue, min(mostQueue, s.cfg.QueueBytes/queues/int64(n+1))))
}

// LimitReceived limits what the system receives before it is read, if there are many
// connections. It is for sockets to servers, before they are connected.
func (s *Server) LimitReceived(c syscall.RawConn) {
	if size := s.queueSize(); size < usualQueue {
		limitReceived(c, size)
	}
}

// ReceiveLittle limits what the system receives for connections of ln before they are
// read, also before they are accepted. Requests are short.
func ReceiveLittle(ln net.Listener) {
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			limitReceived(raw, leastQueue)
		}
	}
}
