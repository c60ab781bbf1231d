package http1

import (
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestLargestHeadsTakeLinearTime compares the processor time of this thread for heads
// of which one is four times as long as the other. Both are measured many times, in
// turns, and the shortest counts: it is not of a moment in which others had the
// processor's caches.
func TestLargestHeadsTakeLinearTime(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	short := largestHeads(maxHead / 16)
	for name, long := range largestHeads(maxHead / 4) {
		var q Request
		var p Response
		mem := memory(long.request)
		spent := func(h largestHead) int64 {
			var before, after unix.Timespec
			require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &before))
			require.NoError(t, h.parse(&q, &p, mem))
			require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &after))
			return after.Nano() - before.Nano()
		}
		least := [2]int64{math.MaxInt64, math.MaxInt64}
		for range 5 {
			least[0] = min(least[0], spent(short[name]))
			least[1] = min(least[1], spent(long))
		}
		if least[1] > 8*least[0] { // 16 times, if it grows with the square
			t.Errorf("%s: %d ns, but %d ns for four times as much", name, least[0], least[1])
		}
	}
}
