// Package limits derives the tap's limits on memory and connections from those of
// the process: its cgroup and its file descriptors.
package limits

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// bufferShare is the divisor of the memory limit for buffers: the garbage
	// collector needs as much again, and the rest is for everything else.
	bufferShare = 4
	// Descriptors are reserved for everything except programs' connections: the
	// web listener, logs, DNS, traces.
	leastReserved, mostReserved = 32, 256
)

// ApplyMemory sets the memory limit of the garbage collector to 90 % of the limit
// of the process's cgroup, unless GOMEMLIMIT is set.
func ApplyMemory() {
	const share = 0.9
	if limit := cgroupMemory(os.ReadFile); limit > 0 && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(int64(share * float64(limit)))
	}
}

// Buffers returns the limit of the memory for buffers in bytes: a quarter of the
// memory limit (GOMEMLIMIT, or the one that ApplyMemory sets). It returns 0, which
// means no limit, if there is none.
func Buffers() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / bufferShare
}

// Connections returns the number of programs' connections for which the process
// has file descriptors, two for each. It returns 0, which means no limit, if
// descriptors are not limited.
func Connections() int { return connections(descriptors()) }

func connections(descriptors uint64) int {
	if descriptors == 0 || descriptors > math.MaxInt32 {
		return 0
	}
	n := int(descriptors)
	return max((n-max(leastReserved, min(mostReserved, n/4)))/2, 1)
}

// cgroupMemory returns the memory limit of the process's cgroup in bytes, or 0 if
// there is none. In a container, the cgroup is at the root of the file system.
func cgroupMemory(read func(name string) ([]byte, error)) int64 {
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := read(name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || n <= 0 || n >= math.MaxInt64&^0xffff { // "max" in version 2, a huge number in version 1
			return 0
		}
		return n
	}
	return 0
}
