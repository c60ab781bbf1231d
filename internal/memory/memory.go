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
	// quiet is the time without activity after which memory is returned.
	quiet = 500 * time.Millisecond
	// latest is when it is returned despite activity.
	latest = time.Minute
	// worthwhile is the growth of the heap, in bytes, for which it is returned.
	worthwhile = 1 << 20
)

// Return collects garbage, returns free memory of the heap to the system, and unmaps
// the pages of the program file, which remain in the system's page cache: those that
// are used again are mapped again, without reading the file.
func Return() {
	debug.FreeOSMemory()
	unmapProgram()
}

// Keeper calls Return at once, for what the start of the process needed, and when the
// process has become quiet after a burst of work. While the process is idle, it does
// not wake up.
type Keeper struct {
	// Activity returns a number that changes with all work that must not be
	// disturbed.
	Activity func() int64
	// Release releases what is only useful to work that goes on. It returns when ctx
	// ends. If nil, it is not called.
	Release func(ctx context.Context)

	collections func(ctx context.Context) <-chan struct{} // for tests; usually nil
	heap        func() uint64                             // likewise
	back        func()                                    // likewise
}

// Run returns when ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	if k.collections == nil {
		k.collections, k.heap, k.back = collections, heap, Return
	}
	collected := k.collections(ctx)
	for {
		k.back()
		for kept := k.heap(); k.heap() < kept+worthwhile; {
			select { // a heap that has grown has been collected
			case <-collected:
			case <-ctx.Done():
				return
			}
			if !k.settle(ctx) {
				return
			}
		}
		if k.Release != nil {
			k.Release(ctx)
		}
	}
}

// settle waits until the process is quiet. It reports false if ctx ended.
func (k *Keeper) settle(ctx context.Context) bool {
	t := time.NewTicker(quiet)
	defer t.Stop()
	for start, before := time.Now(), k.Activity(); ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
		now := k.Activity()
		if now == before || time.Since(start) >= latest {
			return true
		}
		before = now
	}
}

// collections returns a channel that receives after one or more garbage collections,
// until ctx ends.
func collections(ctx context.Context) <-chan struct{} {
	collected := make(chan struct{}, 1)
	var watch func(struct{})
	watch = func(struct{}) {
		select {
		case collected <- struct{}{}:
		default:
		}
		if ctx.Err() == nil {
			runtime.AddCleanup(new([64]byte), watch, struct{}{}) // large enough for memory of its own
		}
	}
	runtime.AddCleanup(new([64]byte), watch, struct{}{})
	return collected
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
