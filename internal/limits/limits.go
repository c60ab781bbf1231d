// Package limits derives the tap's limits on memory and connections from those of
// the process: its cgroup and its file descriptors.
package limits

import (
	"math"
	"os"
	"runtime/debug"
	"sync/atomic"
)

const (
	// bufferShare is the divisor of the memory limit for buffers: the garbage
	// collector needs as much again, and the rest is for everything else.
	bufferShare = 4
	// queueShare is the divisor of the memory limit for the system's queues of
	// connections, which a cgroup of version 2 counts. The shortest queues, 32 KiB for each
	// connection, are not part of it but of systemPair: with as many connections as there
	// may be, they take another sixth. The system takes up to twice the length of a queue:
	// with a sixth of the limit, 128 MiB were nearly all in use (docs/reliability.md).
	queueShare = 10
	// pairShare is the divisor of the memory limit for connections, each with small
	// buffers for both directions: 24 KiB. An idle one takes 2.5 KiB, or 23.5 KiB with TLS
	// on both sides, so most of this is for connections that are all in use at once.
	// With TLS on both sides it is six small buffers, 8 KiB of state for each side, and
	// 40 KiB for each side that crypto/tls keeps as long as the connection lasts, once it
	// has received records of the largest size: 144 KiB. A cgroup of version 2 also counts
	// 72 KiB of the system: 8 KiB for two sockets, and 16 KiB for each of four short queues.
	// With TLS, 72 KiB are added to that: with bodies in both directions, as many connections
	// as fit without were too many.
	pairShare  = 2
	systemPair = 72 << 10
	plainPair  = 24<<10 + systemPair
	securePair = (144+72)<<10 + systemPair
	// Descriptors are reserved for everything except programs' connections: the
	// web listener, logs, DNS, traces, event loops. These are a quarter of all, but no
	// more than mostReserved, unless that is less than a share of reservedShare.
	leastReserved, mostReserved, reservedShare = 32, 256, 256
	// turnedShare is the divisor of the reserve for connections beyond the limit.
	turnedShare, mostTurned = 4, 32
	// webShare is that of the web listeners' connections.
	webShare, mostWeb = 4, 64
	// loopShare is that of event loops, each of which has loopDescriptors. A machine with many
	// processors would have more of them than there are descriptors.
	loopShare, loopDescriptors = 4, 3
)

// usable is the memory limit that ApplyMemory found, 0 without one. The garbage collector's
// is lower.
var usable atomic.Int64

// ApplyMemory limits memory to 90 % of the limit of the process's cgroup, or GOMEMLIMIT if
// that is less. The garbage collector may use three quarters of these 90 %: it uses what it
// may, and a cgroup of version 2 also counts the system's queues.
func ApplyMemory() {
	limit := cgroupMemory(os.ReadFile)
	if limit == 0 || usable.Load() > 0 {
		return
	}
	memory, heap := shares(limit, debug.SetMemoryLimit(-1))
	usable.Store(memory)
	debug.SetMemoryLimit(heap)
}

// shares returns the memory for everything, and that for the garbage collector.
func shares(cgroup, gomemlimit int64) (memory, heap int64) {
	memory = cgroup / 10 * 9
	return min(memory, gomemlimit), min(memory/4*3, gomemlimit)
}

// memoryLimit returns the memory limit in bytes, math.MaxInt64 if there is none.
func memoryLimit() int64 {
	if memory := usable.Load(); memory > 0 {
		return memory
	}
	return debug.SetMemoryLimit(-1)
}

// Buffers returns the limit of the memory for buffers in bytes: a quarter of the
// memory limit (the one that ApplyMemory found, or GOMEMLIMIT). It returns 0, which
// means no limit, if there is none.
func Buffers() int64 { return memoryShare(bufferShare) }

// Queues is like Buffers, for the memory of the system's queues of connections: a
// tenth.
func Queues() int64 { return memoryShare(queueShare) }

func memoryShare(divisor int64) int64 {
	limit := memoryLimit()
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / divisor
}

// Connections returns how many connections of programs there may be: wanted, or as many
// as the process has memory for if wanted is 0, but no more than it has file
// descriptors for, two for each. secure is set if they may be with TLS, which takes more
// memory. 0 is no limit. fits is less than wanted if wanted is too many.
func Connections(wanted int, secure bool) (fits int) {
	return connections(wanted, secure, descriptors(), memoryLimit())
}

// TurnedAway returns how many connections beyond the limit may be answered at the same
// time. Each has a file descriptor of the reserve until then.
func TurnedAway() int { return turnedAway(descriptors()) }

func turnedAway(descriptors uint64) int { return min(reserved(descriptors)/turnedShare, mostTurned) }

// WebConnections returns how many connections the web listeners may have, so that they
// leave the rest of the reserve to everything else.
func WebConnections() int { return webConnections(descriptors()) }

func webConnections(descriptors uint64) int { return min(reserved(descriptors)/webShare, mostWeb) }

// Loops returns how many event loops there may be: wanted, or as many as the reserve is
// enough for.
func Loops(wanted int) int { return loops(wanted, descriptors()) }

func loops(wanted int, descriptors uint64) int {
	if isUnlimited(descriptors) {
		return wanted
	}
	return min(wanted, reserved(descriptors)/loopShare/loopDescriptors)
}

// reserved returns how many file descriptors are not for programs' connections.
func reserved(descriptors uint64) int {
	if isUnlimited(descriptors) {
		return mostReserved
	}
	n := int(descriptors) //nolint:gosec // it is no more than an int32
	return max(leastReserved, min(mostReserved, n/4), n/reservedShare)
}

// isUnlimited reports whether a number of file descriptors is no limit, or not known.
func isUnlimited(descriptors uint64) bool { return descriptors == 0 || descriptors > math.MaxInt32 }

func connections(wanted int, secure bool, descriptors uint64, memory int64) int {
	n := wanted
	if n == 0 && memory < math.MaxInt64 {
		each := int64(plainPair)
		if secure {
			each = securePair
		}
		n = int(max(memory/pairShare/each, 1))
	}
	if isUnlimited(descriptors) {
		return n
	}
	free := int(descriptors) - reserved(descriptors) //nolint:gosec // likewise
	if fits := max(free/2, 1); n == 0 || fits < n {
		return fits
	}
	return n
}
