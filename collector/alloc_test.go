//go:build !race

package collector

import (
	"net"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestCallsDoNotAllocate measures the whole process, the test's client and
// upstream included; they are made not to allocate. The race detector makes
// pools forget, so it is not for its builds.
func TestCallsDoNotAllocate(t *testing.T) {
	for name, req := range map[string]string{"reverse": benchRequest, "forward": viaProxy(benchRequest), "POST": benchPost} {
		t.Run(name, func(t *testing.T) {
			c := benchProxy(t, nobody{})
			sent, buf := []byte(req), make([]byte, len(benchResponse))
			trip := func() { rawconn.RoundTrip(t, c, sent, buf) }
			for range 100 {
				trip()
			}
			if n := testing.AllocsPerRun(1000, trip); n > 0 {
				t.Errorf("%v allocations for a call", n)
			}
		})
	}
}

// TestInterceptedCallsAllocateInTLSAlone holds what a call through two ends of
// TLS allocates more against what crypto/tls does for each record and, on the loop,
// for each read that finds nothing.
func TestInterceptedCallsAllocateInTLSAlone(t *testing.T) {
	rig := newBenchTLS(t)
	count := func(c net.Conn) float64 {
		defer c.Close()
		sent, buf := []byte(benchRequest), make([]byte, len(benchResponse))
		trip := func() { rawconn.RoundTrip(t, c, sent, buf) }
		for range 100 {
			trip()
		}
		return testing.AllocsPerRun(1000, trip)
	}
	two := count(rig.connect(t, rig.real)) // program and upstream
	four := count(rig.connect(t, rig.ours))
	if four > 3*two {
		t.Errorf("%v allocations for a call, %v without interception", four, two)
	}
}
