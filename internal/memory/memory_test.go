package memory

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is a simulated process, for a Keeper.
type process struct {
	work     atomic.Int64
	heap     atomic.Uint64
	released atomic.Int64
	returned atomic.Int64
}

// keep runs a Keeper until the test ends. The function that it returns reports a
// collection.
func (p *process) keep(t *testing.T) (collect func()) {
	collected := make(chan struct{}, 1)
	k := &Keeper{
		Activity:    p.work.Load,
		Release:     func(context.Context) { p.released.Add(1) },
		collections: func(context.Context) <-chan struct{} { return collected },
		heap:        p.heap.Load,
		back: func() {
			p.returned.Add(1)
			p.heap.Store(2 << 20)
		},
	}
	go k.Run(t.Context())
	return func() { collected <- struct{}{} }
}

func (p *process) returns(t *testing.T, when string, want int64) {
	t.Helper()
	synctest.Wait()
	if got := p.returned.Load(); got != want || p.released.Load() != want-1 {
		t.Errorf("%s: memory was returned %d times, released %d times, want %d, %d", when, got, p.released.Load(), want, want-1)
	}
}

func TestReturnsWhenQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p process
		p.heap.Store(5 << 20)
		collect := p.keep(t)
		p.returns(t, "at the start", 1)

		collect()
		<-time.After(10 * latest) // of the bubble
		p.returns(t, "after a collection that left nothing", 1)

		p.heap.Store(9 << 20)
		collect()
		for range 20 {
			p.work.Add(1)
			<-time.After(quiet / 2)
			p.returns(t, "during work", 1)
		}
		<-time.After(2 * quiet)
		p.returns(t, "after work", 2)
	})
}

func TestReturnsDespiteActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p process
		collect := p.keep(t)
		p.returns(t, "at the start", 1)
		p.heap.Store(5 << 20)
		collect()
		for start := time.Now(); time.Since(start) < latest; {
			p.returns(t, "during work", 1)
			p.work.Add(1)
			<-time.After(quiet / 2)
		}
		p.returns(t, "a minute later", 2)
	})
}

// garbage is what TestReturn allocates.
var garbage []byte

func TestReturn(t *testing.T) {
	const size = 64 << 20
	garbage = make([]byte, size)
	for i := range garbage {
		garbage[i] = 1
	}
	before := heap()
	garbage = nil
	Return()
	if after := heap(); after+size > before+size/8 {
		t.Errorf("the heap had %d bytes before and has %d bytes", before, after)
	}
}

func TestCollections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	collected := collections(ctx)
	for range 3 {
		runtime.GC()
		<-collected
	}
	cancel()
}
