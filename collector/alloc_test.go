//go:build !race

package collector

import "testing"

// TestCallsDoNotAllocate measures the whole process, the test's client and
// upstream included; they are made not to allocate. The race detector makes
// pools forget, so it is not for its builds.
func TestCallsDoNotAllocate(t *testing.T) {
	for name, req := range map[string]string{"reverse": benchRequest, "forward": viaProxy(benchRequest), "POST": benchPost} {
		t.Run(name, func(t *testing.T) {
			c := benchProxy(t)
			sent, buf := []byte(req), make([]byte, len(benchAnswer))
			trip := func() { roundTrip(t, c, sent, buf) }
			for range 100 {
				trip()
			}
			if n := testing.AllocsPerRun(1000, trip); n > 0 {
				t.Errorf("%v allocations for a call", n)
			}
		})
	}
}
