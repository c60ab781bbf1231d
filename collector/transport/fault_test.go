package transport

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestTransportFaults checks what errors mean, and that the program gets them
// as they are.
func TestTransportFaults(t *testing.T) {
	op := func(name string, err error) error { return &net.OpError{Op: name, Net: "tcp", Err: err} }
	for _, tt := range []struct {
		name string
		err  error
		want classify.Fault
	}{
		{"DNS", op("dial", &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}), classify.FaultDNS},
		{"refused", op("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED)), classify.FaultConnRefused},
		{"unreachable", op("dial", os.NewSyscallError("connect", syscall.EHOSTUNREACH)), classify.FaultUnreachable},
		{"no descriptors", op("dial", os.NewSyscallError("socket", syscall.EMFILE)), classify.FaultExhausted},
		{"no descriptors to resolve", op("dial", &net.DNSError{Err: "dial udp 127.0.0.53:53: socket: too many open files", Name: "h"}), classify.FaultExhausted},
		{"dial timeout", op("dial", os.ErrDeadlineExceeded), classify.FaultDialTimeout},
		{"read timeout", op("read", os.ErrDeadlineExceeded), classify.FaultTimeout},
		{"reset", op("read", os.NewSyscallError("read", syscall.ECONNRESET)), classify.FaultReset},
		{"broken pipe", op("write", os.NewSyscallError("write", syscall.EPIPE)), classify.FaultReset},
		{"closed", io.EOF, classify.FaultClosed},
		{"closed within", io.ErrUnexpectedEOF, classify.FaultClosed},
		{"unknown", errors.New("something"), classify.FaultClosed},
		{"canceled", fmt.Errorf("x: %w", context.Canceled), classify.FaultCanceled},
		{"canceled by the older way", errors.New("net/http: request canceled"), classify.FaultCanceled},
		{"deadline", context.DeadlineExceeded, classify.FaultTimeout},
		{"certificate", &tls.CertificateVerificationError{Err: errors.New("x")}, classify.FaultTLS},
		{"alert", op("remote error", tls.AlertError(40)), classify.FaultTLS},
		{"no TLS", http.ErrSchemeMismatch, classify.FaultTLS},
		{"TLS in words", errors.New("tls: first record does not look like a TLS handshake"), classify.FaultTLS},
		{"no HTTP", errors.New(`net/http: HTTP/1.x transport connection broken: malformed HTTP response "x"`), classify.FaultBadResponse},
		{"no gzip", gzip.ErrHeader, classify.FaultBadResponse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rigFor(t, "http://127.0.0.1", tripper(func(*http.Request) (*http.Response, error) { return nil, tt.err }))
			if _, err := r.tripper.RoundTrip(r.request("GET", transportQuery, nil)); any(err) != any(tt.err) { // the very same
				t.Errorf("the program got %v", err)
			}
			if _, o := r.reported(); o.Fault != tt.want || o.Verdict.Status != 0 || o.Verdict.Match != classify.MatchFault {
				t.Errorf("fault %q, want %q: %+v", o.Fault, tt.want, o.Verdict)
			}
			r.silent()
		})
	}
}

// TestTransportRealFaults checks errors as net/http really makes them.
func TestTransportRealFaults(t *testing.T) {
	const (
		longest = 16 << 10 // head that is read
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	)
	dialed := func(t *testing.T, response string) string {
		t.Helper()
		ln := rawconn.Listen(t)
		go rawconn.Serve(ln, func(nc net.Conn) {
			_, _ = nc.Read(make([]byte, 4096))
			_, _ = io.WriteString(nc, response)
		})
		return ln.Addr().String()
	}
	answered := func(response string) func(*testing.T) string {
		return func(t *testing.T) string { return "http://" + dialed(t, response) }
	}
	for _, tt := range []struct {
		name string
		url  func(*testing.T) string
		want classify.Fault
	}{
		{"refused", func(*testing.T) string { return "http://" + rawconn.Nowhere }, classify.FaultConnRefused},
		{"closed at once", answered(""), classify.FaultClosed},
		{"no HTTP", answered("hello\r\n\r\n"), classify.FaultBadResponse},
		{"closed within the head", answered("HTTP/1.1 200 OK\r\nA: b"), classify.FaultClosed},
		{"closed after interim responses", answered("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200"), classify.FaultClosed},
		{"closed within a chunk", answered(chunked + "2\r\na"), classify.FaultClosed},
		{"bad length", answered("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), classify.FaultBadResponse},
		{"two lengths", answered("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), classify.FaultBadResponse},
		{"unknown transfer coding", answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), classify.FaultBadResponse},
		{"several transfer codings", answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), classify.FaultBadResponse},
		{"long head", answered("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", longest) + "\r\n\r\n"), classify.FaultBadResponse},
		{"no number of a chunk", answered(chunked + "zz\r\nab"), classify.FaultBadResponse},
		{"large number of a chunk", answered(chunked + strings.Repeat("f", 20) + "\r\nab"), classify.FaultBadResponse},
		{"longer chunk than it says", answered(chunked + "2\r\nabcd\r\n"), classify.FaultBadResponse},
		{"long line of a chunk", answered(chunked + "2;" + strings.Repeat("x", 9<<10) + "\r\nab\r\n"), classify.FaultBadResponse},
		{"long trailer", answered(chunked + "0\r\nA: " + strings.Repeat("x", 9<<10) + "\r\n\r\n"), classify.FaultBadResponse},
		{"bad trailer", answered(chunked + "0\r\nA b\r\n\r\n"), classify.FaultBadResponse},
		{"no TLS", func(t *testing.T) string {
			return "https://" + dialed(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}, classify.FaultTLS},
		{"unknown CA", func(t *testing.T) string {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			t.Cleanup(server.Close)
			return server.URL
		}, classify.FaultTLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next := http.DefaultTransport.(*http.Transport).Clone()
			next.MaxResponseHeaderBytes = longest
			r := rigFor(t, tt.url(t), next)
			resp, err := r.client.Do(r.request("GET", transportQuery, nil))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			require.Error(t, err)
			if _, o := r.reported(); o.Fault != tt.want {
				t.Errorf("fault %q, want %q of %v", o.Fault, tt.want, err)
			}
		})
	}
}

// TestTransportBodyFaults checks responses that break off.
func TestTransportBodyFaults(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "part")
	})
	resp := r.do("GET", transportQuery, nil)
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "part" {
		t.Errorf("the program got %q, %v", b, err)
	}
	resp.Body.Close()
	if _, o := r.reported(); o.Fault != classify.FaultClosed || o.Verdict.Status != 200 || o.ResponseBytes != 4 {
		t.Errorf("fault %q, %+v", o.Fault, o.Verdict)
	}
	r.silent()
}

// TestTransportGivesUp checks programs that do not wait for the response. Their
// timeouts are by the bubble's clock: on a slow machine they pass no sooner.
func TestTransportGivesUp(t *testing.T) {
	hang := func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			_, _ = io.WriteString(w, "part")
			w.(http.Flusher).Flush()
		}
		<-req.Context().Done()
	}
	type give struct {
		name, method string
		timeout      time.Duration // of the client
		ctx          func(context.Context) (context.Context, context.CancelFunc)
		want         classify.Fault
		status       int
	}
	cancelNow := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		// Once the request is written, so that an exchange is there to give up.
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }}), cancel
	}
	deadline := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 20*time.Millisecond)
	}
	none := func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }
	for _, tt := range []give{
		{"canceled", "GET", 0, cancelNow, classify.FaultCanceled, 0},
		{"deadline", "GET", 0, deadline, classify.FaultTimeout, 0},
		{"deadline within the response", "PUT", 0, deadline, classify.FaultTimeout, 200},
		{"client's timeout", "GET", 20 * time.Millisecond, none, classify.FaultTimeout, 0},
		{"client's timeout within the response", "PUT", 20 * time.Millisecond, none, classify.FaultTimeout, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newPipedRig(t, hang)
				r.client.Timeout = tt.timeout
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				resp, err := r.client.Do(r.request(tt.method, transportQuery, nil).WithContext(ctx))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if err == nil {
					t.Fatal("no error")
				}
				if _, o := r.reported(); o.Fault != tt.want || o.Verdict.Status != tt.status {
					t.Errorf("fault %q, want %q of %v, status %d", o.Fault, tt.want, err, o.Verdict.Status)
				}
				r.silent()
			})
		})
	}
}

// newPipedRig is newTransportRig in a bubble: the server is reached through pipes.
func newPipedRig(t *testing.T, h http.HandlerFunc) *transportRig {
	t.Helper()
	ln := make(pipes)
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(ln) }()
	next := http.DefaultTransport.(*http.Transport).Clone()
	next.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		trace := httptrace.ContextClientTrace(ctx) // which a net.Dialer calls
		trace.ConnectStart(network, address)
		ours, theirs := net.Pipe()
		ln <- theirs
		if trace.ConnectDone != nil {
			trace.ConnectDone(network, address, nil)
		}
		return ours, nil
	}
	t.Cleanup(func() { server.Close() })
	return rigFor(t, "http://127.0.0.1", next)
}

// pipes is a listener for what is sent on it.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	nc, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// failing is a body that cannot be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestTransportProgramsBody checks that a request's body that fails is the
// program's doing.
func TestTransportProgramsBody(t *testing.T) {
	r := newTransportRig(t, func(_ http.ResponseWriter, req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) })
	want := errors.New("disk")
	if _, err := r.client.Do(r.request("POST", transportQuery, failing{want})); !errors.Is(err, want) {
		t.Errorf("the program got %v", err)
	}
	if _, o := r.reported(); o.Fault != classify.FaultCanceled {
		t.Errorf("fault %q", o.Fault)
	}
}
