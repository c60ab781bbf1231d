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

// QueueSize returns what the system should queue for each direction of a connection, in
// bytes, so that the queues of that many connections take no more than memory. If memory
// is 0, there is no limit to all of them.
func QueueSize(memory int64, connections int) int {
	if memory == 0 {
		return mostQueue
	}
	const queues = 4 // of a pair
	return int(max(leastQueue, min(mostQueue, memory/queues/int64(connections))))
}

// queueSize is QueueSize with a new connection.
func (s *Server) queueSize() int {
	s.mu.Lock()
	n := len(s.pairs)
	s.mu.Unlock()
	return QueueSize(s.cfg.QueueBytes, n+1)
}

// LimitReceived limits what the system receives before it is read, if there are many
// connections. It is for sockets to servers, before they are connected.
func (s *Server) LimitReceived(c syscall.RawConn) { limitReceived(c, s.queueSize()) }

// ReceiveLittle limits what the system receives for connections of ln before they are
// read, also before they are accepted, to size, which is one of QueueSize.
func ReceiveLittle(ln net.Listener, size int) {
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			limitReceived(raw, size)
		}
	}
}
