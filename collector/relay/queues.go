package relay

import (
	"context"
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

// pairQueues is the number of queues of a pair: in both directions of both connections.
const pairQueues = 4

// QueueSize returns what the system should queue for each direction of a connection, in
// bytes, so that the queues of that many connections take no more than memory, unless that is
// too little for the shortest. If memory is 0, there is no limit to all of them.
func QueueSize(memory int64, connections int) int {
	if memory == 0 {
		return mostQueue
	}
	return int(max(leastQueue, min(mostQueue, memory/pairQueues/int64(connections))))
}

// queues divides memory among the system's queues. Each pair has the shortest queues
// besides, whatever the others have.
type queues struct {
	memory   int64 // 0 is no limit
	allotted int64
}

// newPart is the divisor of what is left, for a new pair. With a larger one, the first pairs
// would have shorter queues; with a smaller one, fewer pairs would have longer ones than the
// shortest.
const newPart = 32

// allot returns the length of each queue of a new pair, in bytes.
func (q *queues) allot() int {
	if q.memory == 0 {
		return mostQueue
	}
	more := min(mostQueue-leastQueue, max(0, q.memory-q.allotted)/newPart/pairQueues)
	q.allotted += pairQueues * more
	return leastQueue + int(more)
}

// free takes back what a pair got.
func (q *queues) free(size int) {
	if q.memory > 0 {
		q.allotted -= pairQueues * int64(size-leastQueue)
	}
}

// queueKey is the key of the length of a pair's queues in the context of its dials.
type queueKey struct{}

// LimitReceived limits what the system receives before it is read, as the pair was allotted
// for which ctx is. It is for sockets to servers, before they are connected.
func LimitReceived(ctx context.Context, c syscall.RawConn) {
	if size, ok := ctx.Value(queueKey{}).(int); ok {
		limitReceived(c, size)
	}
}

// ReceiveLittle limits what the system receives for connections of ln before they are
// read, also before they are accepted, to size, which is one of QueueSize.
func ReceiveLittle(ln net.Listener, size int) {
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			limitReceived(raw, size)
		}
	}
}
