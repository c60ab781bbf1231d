// Package memory returns memory to the system that the process has stopped using.
//
// The Go runtime keeps what a burst of work needed: at most slowly does it return
// free memory, and it keeps room for as much garbage as there is live memory. Linux
// keeps the pages of the program file mapped that the start read.
package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// quiet is the time without activity after which memory is returned, and looks is how
	// often activity is read in that time. If quiet were shorter, a program that makes
	// calls every second would cause collections and page faults with each of them.
	quiet, looks = 5 * time.Second, 5
	// worthwhile is the growth of the heap, in bytes, for which it is returned.
	worthwhile = 1 << 20
)

// Return collects garbage, returns free memory of the heap to the system, and unmaps
// the pages of the program file, which remain in the system's page cache: those that
// are used again are mapped again, without reading the file.
func Return() {
	returnHeap()
	unmapProgram()
}

// returnHeap collects garbage and returns free memory of the heap. It collects twice,
// because what is in a sync.Pool outlives the first collection.
func returnHeap() {
	runtime.GC()
	debug.FreeOSMemory()
}

// ReturnWhenQuiet collects garbage and returns free memory of the heap when it has grown
// and activity has returned the same number for five seconds. The number must change with all
// work that may not be disturbed. ReturnWhenQuiet returns when ctx ends.
func ReturnWhenQuiet(ctx context.Context, activity func() int64) {
	returnWhenQuiet(ctx, activity, heap, returnHeap)
}

func returnWhenQuiet(ctx context.Context, activity func() int64, heap func() uint64, free func()) {
	t := time.NewTicker(quiet / looks)
	defer t.Stop()
	for same, before, kept := 0, activity(), heap(); ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		now := activity()
		if same++; now != before {
			same = 0
		}
		if same >= looks && heap() >= kept+worthwhile {
			free()
			kept = heap()
		}
		before = now
	}
}

// heap returns the size of the heap in bytes: objects, garbage, and what is free and
// was not returned.
func heap() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	sum := uint64(0)
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return sum
}
