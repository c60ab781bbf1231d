package collector

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// benchTLS is a tap between programs and an upstream with TLS, which always
// sends benchResponse.
type benchTLS struct {
	addr string
	ours *tls.Config // of a program that trusts the tap
	real *tls.Config // of one that trusts the upstream
	back net.Listener
}

func newBenchTLS(tb testing.TB) *benchTLS {
	back, front := rawconn.Listen(tb), rawconn.Listen(tb)
	upCA, ourCA := newAuthority(tb), interceptor(tb)
	cfg := upCA.server("*.api.ksyun.com")
	cfg.NextProtos = nil
	go rawconn.AnswerAll(tls.NewListener(back, cfg), benchResponse)
	p := newProxy(tb, Config{
		Classifier: classify.New(classify.DefaultCatalog()),
		Sink:       nobody{},
		Policy: Policy{
			TapHosts: patterns(tb, host), OtherHosts: OtherForward, RootCAs: upCA.pool(),
			ConnectTo: []upstream.ConnectTo{
				connectTo(tb, host+":443="+back.Addr().String()),
				connectTo(tb, "blind.api.ksyun.com:443="+back.Addr().String()),
			},
		},
		Intercept: ourCA,
	})
	go p.Serve(front)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.Shutdown(ctx)
	})
	return &benchTLS{
		addr: front.Addr().String(), back: back,
		ours: &tls.Config{ServerName: host, RootCAs: poolOf(ourCA.PEM())},
		real: &tls.Config{ServerName: "blind.api.ksyun.com", RootCAs: upCA.pool()},
	}
}

// connect returns TLS within a CONNECT: with the tap, or with the upstream.
func (b *benchTLS) connect(tb testing.TB, cfg *tls.Config) net.Conn {
	nc, err := net.Dial("tcp", b.addr)
	require.NoError(tb, err)
	io.WriteString(nc, connectTo443(cfg.ServerName))
	if _, err := io.ReadFull(nc, make([]byte, len(established))); err != nil {
		tb.Fatal(err)
	}
	tc := tls.Client(nc, cfg)
	require.NoError(tb, tc.Handshake())
	return tc
}

// BenchmarkHandshake makes one call on a new connection each time.
func BenchmarkHandshake(b *testing.B) {
	for _, way := range []string{"direct", "tunnel", "intercepted"} {
		b.Run(way, func(b *testing.B) {
			rig := newBenchTLS(b)
			cfg := rig.real
			if way == "intercepted" {
				cfg = rig.ours
			}
			req, buf := []byte(benchRequest), make([]byte, len(benchResponse))
			open := func() net.Conn { return rig.connect(b, cfg) }
			if way == "direct" {
				open = func() net.Conn {
					nc, err := tls.Dial("tcp", rig.back.Addr().String(), cfg)
					if err != nil {
						b.Fatal(err)
					}
					return nc
				}
			}
			for b.Loop() {
				c := open()
				rawconn.RoundTrip(b, c, req, buf)
				c.Close()
			}
		})
	}
}

// BenchmarkCallTLS makes calls on one connection with TLS.
func BenchmarkCallTLS(b *testing.B) {
	b.Run("direct", func(b *testing.B) {
		rig := newBenchTLS(b)
		c, err := tls.Dial("tcp", rig.back.Addr().String(), rig.real)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		trips(b, c, benchRequest, len(benchResponse))
	})
	b.Run("tunnel", func(b *testing.B) {
		rig := newBenchTLS(b)
		c := rig.connect(b, rig.real)
		defer c.Close()
		trips(b, c, benchRequest, len(benchResponse))
	})
	b.Run("intercepted", func(b *testing.B) {
		rig := newBenchTLS(b)
		c := rig.connect(b, rig.ours)
		defer c.Close()
		trips(b, c, benchRequest, len(benchResponse))
	})
}
