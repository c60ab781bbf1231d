package http1

import (
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkLinearTime fails if parsing takes time that grows with the square of a head's
// length. It compares the processor time of this thread for heads of which one is four
// times as long as the other. Both are measured in turns, and the shortest time counts.
func BenchmarkLinearTime(b *testing.B) {
	short := largestHeads(maxHead / 16)
	for name, long := range largestHeads(maxHead / 4) {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var q Request
			var p Response
			mem := memory(long.request)
			spent := func(h largestHead) int64 {
				var before, after unix.Timespec
				require.NoError(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &before))
				require.NoError(b, h.parse(&q, &p, mem))
				require.NoError(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &after))
				return after.Nano() - before.Nano()
			}
			least := [2]int64{math.MaxInt64, math.MaxInt64}
			for b.Loop() {
				least[0] = min(least[0], spent(short[name]))
				least[1] = min(least[1], spent(long))
			}
			if least[1] > 8*least[0] { // 16 times, if it grows with the square
				b.Errorf("%d ns, but %d ns for four times as much", least[0], least[1])
			}
		})
	}
}
