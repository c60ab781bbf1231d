package traces

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func TestDecideAllocatesNothing(t *testing.T) {
	header := []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	n := testing.AllocsPerRun(100, func() { parseParent(header) })
	assert.Zero(t, n, "allocations to read a traceparent, want none")
}

// FuzzParseParent holds our reading of a traceparent to OpenTelemetry's.
func FuzzParseParent(f *testing.F) {
	for _, s := range []string{
		"",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-04",  // reserved flag
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", // version 00 ends here
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",  // upper case
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",  // no trace
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",  // no span
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",  // forbidden version
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what the future brings",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.no",
		"0-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
		" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		f.Add(s, "")
		f.Add(s, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
		f.Add(s, "=;=")
	}
	f.Fuzz(func(t *testing.T, header, state string) {
		p, ok := parseParent([]byte(header))
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(),
			propagation.MapCarrier{"traceparent": header, "tracestate": state}))
		lax := len(header) == traceparentSize+1 && strings.HasPrefix(header, "00") && strings.HasSuffix(header, "-")
		if ok != want.IsValid() && !lax {
			t.Fatalf("%q valid: %t, OpenTelemetry says %t", header, ok, want.IsValid())
		}
		if !ok {
			return
		}
		if p.traceID != want.TraceID() || p.spanID != want.SpanID() {
			t.Fatalf("%q read as %+v, OpenTelemetry says %+v", header, p, want)
		}
		if got := remoteParent(header, state); !got.Equal(want) && !lax {
			t.Fatalf("%q and %q read as %+v, OpenTelemetry says %+v", header, state, got, want)
		}
	})
}
