package memory

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReturnWhenQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var work, returned atomic.Int64
		var size atomic.Uint64
		size.Store(2 << 20)
		go returnWhenQuiet(t.Context(), work.Load, size.Load, func() {
			returned.Add(1)
			size.Store(2 << 20)
		})
		check := func(when string, want int64) {
			t.Helper()
			synctest.Wait()
			got := returned.Load()
			assert.Equal(t, want, got, "%s: memory was returned %d times, want %d", when, got, want)
		}
		<-time.After(10 * quiet) // of the bubble
		check("without growth", 0)
		size.Store(9 << 20)
		for range 20 {
			work.Add(1)
			<-time.After(quiet / 2)
			check("during work", 0)
		}
		<-time.After(2 * quiet)
		check("after work", 1)
		<-time.After(10 * quiet)
		check("later", 1)
	})
}

// garbage is what TestReturn allocates, and pool where it may put it.
var (
	garbage []byte
	pool    sync.Pool
)

func TestReturn(t *testing.T) {
	const size = 64 << 20
	for name, discard := range map[string]func(b []byte){
		"garbage": func([]byte) {},
		"pooled":  func(b []byte) { pool.Put(&b) },
	} {
		t.Run(name, func(t *testing.T) {
			garbage = make([]byte, size)
			for i := range garbage {
				garbage[i] = 1
			}
			before := heap()
			discard(garbage)
			garbage = nil
			Return()
			after := heap()
			assert.LessOrEqual(t, after+size, before+size/8, "the heap had %d bytes before and has %d bytes", before, after)
		})
	}
}
