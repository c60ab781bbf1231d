//go:build !race

package relay

import (
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestRoundTripDoesNotAllocate measures the whole process, client and upstream
// included; they are made not to allocate. The race detector makes pools forget,
// so it is not for its builds.
func TestRoundTripDoesNotAllocate(t *testing.T) {
	for name, size := range map[string]int{"small": 1 << 10, "large": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			resp := benchResponse(size)
			c := rawconn.Open(t, bare(t, resp))
			req, buf := []byte(benchRequest), make([]byte, len(resp))
			trip := func() { rawconn.RoundTrip(t, c, req, buf) }
			for range 100 {
				trip()
			}
			if n := testing.AllocsPerRun(1000, trip); n > 0 {
				t.Errorf("%v allocations for a round trip", n)
			}
		})
	}
}
