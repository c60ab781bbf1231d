//go:build !race

package relay

import (
	"net"
	"testing"
)

// TestRoundTripDoesNotAllocate measures the whole process, client and upstream
// included; they are made not to allocate. The race detector makes pools forget,
// so it is not for its builds.
func TestRoundTripDoesNotAllocate(t *testing.T) {
	for name, tt := range map[string]struct {
		size    int
		overTLS bool
		dial    func(testing.TB, string) net.Conn
	}{
		"small":           {1 << 10, false, dial},
		"large":           {300 << 10, false, dial},
		"small, over TLS": {1 << 10, true, dialTLS},
		"large, over TLS": {300 << 10, true, dialTLS},
	} {
		t.Run(name, func(t *testing.T) {
			resp := benchResponse(tt.size)
			c := tt.dial(t, bareOn(t, resp, 0, tt.overTLS))
			req, buf := []byte(benchRequest), make([]byte, len(resp))
			trip := func() { roundTrip(t, c, req, buf) }
			for range 100 {
				trip()
			}
			if n := testing.AllocsPerRun(1000, trip); n > 0 {
				t.Errorf("%v allocations for a round trip", n)
			}
		})
	}
}
