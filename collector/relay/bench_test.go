package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

const benchRequest = "GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total HTTP/1.1\r\n" +
	"Host: monitor.api.ksyun.com\r\nUser-Agent: aws-sdk-go/1.25.3 (go1.26; linux; amd64)\r\nAccept: application/json\r\n" +
	"Authorization: AWS4-HMAC-SHA256 Credential=AKLTexample/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n" +
	"Content-Type: application/json\r\nX-Amz-Date: 20261123T000000Z\r\nAccept-Encoding: gzip\r\n\r\n"

func benchResponse(size int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\nX-KSC-REQUEST-ID: 01234567-89ab-4cde-8f01-23456789abcd\r\n\r\n%s",
		size, strings.Repeat("x", size))
}

// benchHandler does nothing.
type benchHandler struct {
	addr    string
	overTLS bool
}

func (h *benchHandler) Route(*Exchange) (Route, error) {
	return Route{Key: Key{Host: "h", Port: 80}}, nil
}

func (h *benchHandler) Dial(ctx context.Context, _ *Exchange) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", h.addr)
	if err != nil || !h.overTLS {
		return nc, err
	}
	tc := tls.Client(Wire(nc, nil), anyServer)
	return tc, tc.HandshakeContext(ctx)
}
func (h *benchHandler) Sent(*Exchange)                                         {}
func (h *benchHandler) Refuse(dst []byte, _ *Exchange, _ error, _ bool) []byte { return dst }
func (h *benchHandler) Secured(error)                                          {}
func (h *benchHandler) Plain()                                                 {}
func (h *benchHandler) Done(x *Exchange)                                       { x.ResponseTail() }

// bare starts a server whose handler does nothing, before an upstream that
// always answers resp.
func bare(tb testing.TB, resp string) (addr string) { return bareOn(tb, resp, 0, false) }

// bareOn is bare with that many loops, and with TLS on both sides.
func bareOn(tb testing.TB, resp string, loops int, overTLS bool) (addr string) {
	back, front := net.Listener(rawconn.Listen(tb)), rawconn.Listen(tb)
	backAddr := back.Addr().String()
	in := Intake{NewHandler: func(netip.AddrPort) Handler { return &benchHandler{backAddr, overTLS} }}
	if overTLS {
		in.TLS, back = testTLS(), tls.NewListener(back, testTLS())
	}
	go rawconn.AnswerAll(back, []byte(resp))
	srv := New(Config{
		Timeouts:     DefaultTimeouts(),
		MaxHeadBytes: 64 << 10,
		InspectBytes: 64 << 10,
		TailBytes:    16 << 10,
		Loops:        loops,
	})
	go srv.Serve(front, in)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		srv.Shutdown(ctx)
	})
	return front.Addr().String()
}

func dialTLS(tb testing.TB, addr string) net.Conn {
	return tls.Client(rawconn.Open(tb, addr), anyServer)
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{1 << 10, 60 << 10} {
		resp := benchResponse(size)
		for _, conns := range []int{1, 64} {
			name := fmt.Sprintf("%dKiB/%d", size>>10, conns)
			b.Run("direct/"+name, func(b *testing.B) {
				back := rawconn.Listen(b)
				go rawconn.AnswerAll(back, []byte(resp))
				trips(b, rawconn.Open, back.Addr().String(), len(resp), conns)
			})
			for driver, loops := range map[string]int{"relay/": 0, "blocking/": -1} {
				b.Run(driver+name, func(b *testing.B) {
					trips(b, rawconn.Open, bareOn(b, resp, loops, false), len(resp), conns)
				})
				b.Run(driver+"TLS/"+name, func(b *testing.B) {
					trips(b, dialTLS, bareOn(b, resp, loops, true), len(resp), conns)
				})
			}
			b.Run("reverseproxy/"+name, func(b *testing.B) {
				back := rawconn.Listen(b)
				go rawconn.AnswerAll(back, []byte(resp))
				proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: back.Addr().String()})
				transport := &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}
				defer transport.CloseIdleConnections()
				proxy.Transport = transport
				front := rawconn.Listen(b)
				srv := &http.Server{Handler: proxy}
				go srv.Serve(front)
				defer srv.Close()
				// It adds a Date field, whose length does not vary, and leaves out Connection.
				length := len(resp) + len("Date: Mon, 23 Nov 2026 00:00:00 GMT\r\n") - len("Connection: keep-alive\r\n")
				trips(b, rawconn.Open, front.Addr().String(), length, conns)
			})
		}
	}
}

// trips makes b.N round trips on that many connections.
func trips(b *testing.B, dial func(testing.TB, string) net.Conn, addr string, response, conns int) {
	b.Helper()
	b.ReportAllocs()
	turns := make(chan int, conns)
	done := make(chan struct{}, conns)
	each := b.N/conns + 1
	for range conns {
		c := dial(b, addr)
		go func() {
			req, buf := []byte(benchRequest), make([]byte, response)
			rawconn.RoundTrip(b, c, req, buf)
			done <- struct{}{}
			for range <-turns {
				rawconn.RoundTrip(b, c, req, buf)
			}
			c.Close()
			done <- struct{}{}
		}()
	}
	for range conns {
		<-done
	}
	b.ResetTimer()
	for range conns {
		turns <- each
	}
	for range conns {
		<-done
	}
	b.ReportMetric(float64(each*conns)/b.Elapsed().Seconds(), "req/s")
}

// BenchmarkIdleConnection measures what an idle connection holds, after it has
// carried a request. What the test holds of its own end is in it.
func BenchmarkIdleConnection(b *testing.B) {
	const conns = 1000
	resp := benchResponse(1 << 10)
	for range b.N {
		addr := bare(b, resp)
		req, buf := []byte(benchRequest), make([]byte, len(resp))
		rawconn.RoundTrip(b, rawconn.Open(b, addr), req, buf)
		idle := make([]net.Conn, conns)
		before := memoryInUse()
		for i := range idle {
			idle[i] = rawconn.Open(b, addr)
			rawconn.RoundTrip(b, idle[i], req, buf)
		}
		b.ReportMetric(float64(memoryInUse()-before)/conns, "B/conn")
		for _, c := range idle {
			c.Close()
		}
	}
}

func memoryInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools give up their content at the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
