// Package limits derives the tap's limits from those of the process.
package limits

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// bufferShare is the part of the memory that buffers may take: the garbage
	// collector needs as much again, and the rest is for everything else.
	bufferShare = 4
	// reserved descriptors are for everything but programs' connections: the web
	// listener, logs, DNS, traces.
	leastReserved, mostReserved = 32, 256
)

// ApplyMemory has the garbage collector keep below the memory limit of the
// process's cgroup, unless GOMEMLIMIT is set.
func ApplyMemory() {
	const share = 0.9
	if limit := cgroupMemory(os.ReadFile); limit > 0 && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(int64(share * float64(limit)))
	}
}

// Buffers returns how many bytes buffers may take: a quarter of the memory limit
// (GOMEMLIMIT, or the cgroup's after ApplyMemory); 0, which is no limit, without
// one.
func Buffers() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / bufferShare
}

// Connections returns how many connections of programs the process has
// descriptors for, at two each; 0, which is no limit, if it has no limit of
// descriptors.
func Connections() int { return connections(descriptors()) }

func connections(descriptors uint64) int {
	if descriptors == 0 || descriptors > math.MaxInt32 {
		return 0
	}
	n := int(descriptors)
	return max((n-max(leastReserved, min(mostReserved, n/4)))/2, 1)
}

// cgroupMemory returns the memory limit of the process's cgroup in bytes, 0
// without one. In a container the cgroup is the one at the root.
func cgroupMemory(read func(name string) ([]byte, error)) int64 {
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := read(name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || n <= 0 || n >= math.MaxInt64&^0xffff { // "max", or how version 1 writes it
			return 0
		}
		return n
	}
	return 0
}
