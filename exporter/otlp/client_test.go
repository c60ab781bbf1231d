package otlp

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct is a ProxyFunc without a proxy.
func direct(*http.Request) (*url.URL, error) { return nil, nil }

// answer is what a backend answers to one request.
type answer struct {
	status  int
	header  http.Header
	body    string
	grpc    string // the gRPC status; "" for HTTP
	message string // of the gRPC status
}

// newBackend returns a server that keeps the messages it gets, and gives these answers.
// After the last one it accepts everything.
func newBackend(t *testing.T, answers ...answer) (s *httptest.Server, messages *[]string) {
	t.Helper()
	messages = new([]string)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, compressed := io.Reader(r.Body), r.Header.Get("Content-Encoding") == "gzip"
		frame := make([]byte, frameHeader)
		overGRPC := r.Header.Get("Content-Type") == "application/grpc"
		if overGRPC {
			if _, err := io.ReadFull(r.Body, frame); err != nil || r.URL.Path != methods["v1/logs"] || r.Header.Get("Te") != "trailers" {
				t.Errorf("%s, %v: %v", r.URL, r.Header, err)
			}
			if compressed = frame[0] == 1; compressed != (r.Header.Get("Grpc-Encoding") == "gzip") {
				t.Error("the frame disagrees with the head about the compression")
			}
		}
		if compressed {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		message, err := io.ReadAll(body)
		assert.NoError(t, err)
		*messages = append(*messages, string(message))
		a := answer{status: http.StatusOK, grpc: "0"}
		if len(answers) > 0 {
			a, answers = answers[0], answers[1:]
		}
		maps.Copy(w.Header(), a.header)
		if overGRPC {
			w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		}
		w.WriteHeader(max(a.status, http.StatusOK))
		if overGRPC {
			_, _ = io.WriteString(w, "\x00\x00\x00\x00"+string(rune(len(a.body))))
		}
		_, _ = io.WriteString(w, a.body)
		if overGRPC {
			w.Header().Set("Grpc-Status", a.grpc)
			w.Header().Set("Grpc-Message", a.message)
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(s.Close)
	return s, messages
}

// signal returns the settings for a backend.
func signal(protocol, address string, compress bool) *Signal {
	return &Signal{
		Protocol: protocol, Target: address, Endpoint: &url.URL{Scheme: "http", Host: address, Path: "/v1/logs"},
		Insecure: true, Gzip: compress, Timeout: 10 * time.Second, path: "v1/logs",
	}
}

// newClient returns a client that sends again at once.
func newClient(t *testing.T, s *Signal, find ProxyFunc) *Client {
	t.Helper()
	c := NewClient(s, find)
	c.pause = time.Millisecond
	t.Cleanup(c.Close)
	return c
}

// TestSendAgain has a backend refuse requests for now.
func TestSendAgain(t *testing.T) {
	for _, protocol := range []string{ProtocolHTTP, ProtocolGRPC} {
		for _, compress := range []bool{false, true} {
			later := answer{status: http.StatusServiceUnavailable, header: http.Header{"Retry-After": {"0"}}}
			if protocol == ProtocolGRPC {
				later = answer{grpc: "14", message: "later"}
			}
			s, got := newBackend(t, later, later, answer{grpc: "0"}, later)
			s.Start()
			c := newClient(t, signal(protocol, s.Listener.Addr().String(), compress), direct)
			memory := []byte("first")
			for _, message := range []string{"first", "other"} {
				copy(memory, message)
				require.NoError(t, c.Send(t.Context(), memory))
			}
			want := []string{"first", "first", "first", "other", "other"}
			assert.Equal(t, want, *got, "%s, compressed %t", protocol, compress)
		}
	}
}

// TestRefused checks which answers are errors, and that the request is not sent again.
func TestRefused(t *testing.T) {
	f := func(protocol string, a answer, want string) {
		t.Helper()
		s, got := newBackend(t, a)
		s.Start()
		err := newClient(t, signal(protocol, s.Listener.Addr().String(), false), direct).Send(t.Context(), []byte("message"))
		if text := ""; err != nil || want != "" {
			if err != nil {
				text = err.Error()
			}
			assert.Equal(t, want, text)
		}
		if len(*got) != 1 {
			t.Errorf("%s: sent %d times", want, len(*got))
		}
	}
	protobuf := http.Header{"Content-Type": {mediaProtobuf}}
	f(ProtocolHTTP, answer{status: http.StatusBadRequest, body: "no\n"}, `the backend responded 400 Bad Request: "no\n"`)
	f(ProtocolHTTP, answer{status: http.StatusUnauthorized}, `the backend responded 401 Unauthorized: ""`)
	f(ProtocolHTTP, answer{status: http.StatusAccepted, body: "anything"}, "")
	f(ProtocolHTTP, answer{header: protobuf, body: "\x0a\x06\x08\x03\x12\x02no"}, `the backend rejected 3 items: "no"`)
	f(ProtocolHTTP, answer{header: protobuf, body: "\x0a\x04\x12\x02hm"}, `the backend rejected 0 items: "hm"`)
	f(ProtocolHTTP, answer{header: protobuf, body: "\x0a\x00"}, "")
	f(ProtocolHTTP, answer{header: protobuf, body: "\xff\xff"}, "")
	f(ProtocolGRPC, answer{grpc: "3", message: "n%C3%B6"}, `the backend responded with gRPC status 3: "nö"`)
	f(ProtocolGRPC, answer{grpc: "16"}, `the backend responded with gRPC status 16: ""`)
	f(ProtocolGRPC, answer{}, "the backend responded without a gRPC status")
	f(ProtocolGRPC, answer{status: http.StatusNotFound}, "the backend responded 404 Not Found: \"\\x00\\x00\\x00\\x00\\x00\"")
	f(ProtocolGRPC, answer{grpc: "0", body: "\x0a\x06\x08\x03\x12\x02no"}, `the backend rejected 3 items: "no"`)
}

// TestGiveUp checks that sending again ends with the context, with the last error.
func TestGiveUp(t *testing.T) {
	s, _ := newBackend(t, answer{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {"3600"}}})
	s.Start()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := newClient(t, signal(ProtocolHTTP, s.Listener.Addr().String(), false), direct).Send(ctx, nil)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestRetryAfter(t *testing.T) {
	for field, want := range map[string]time.Duration{"": 0, "soon": 0, "-1": 0, "7": 7 * time.Second, "99999999999": 0} {
		assert.Equal(t, want, retryAfter(field), field)
	}
	if got := retryAfter(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)); got < 50*time.Minute || got > time.Hour {
		t.Errorf("a date in an hour: got %v", got)
	}
}

// TestTargets sends by gRPC to each form of a target.
func TestTargets(t *testing.T) {
	f := func(got *[]string, target string, cfg *tls.Config) {
		t.Helper()
		to := signal(ProtocolGRPC, target, false)
		to.TLS, to.Insecure = cfg, cfg == nil
		if err := newClient(t, to, direct).Send(t.Context(), []byte("message")); err != nil || len(*got) != 1 {
			t.Errorf("%s: %d messages, %v", target, len(*got), err)
		}
		*got = nil
	}
	s, got := newBackend(t)
	s.Start()
	address := s.Listener.Addr().String()
	f(got, address, nil)
	f(got, "dns:///"+address, nil)
	f(got, "dns:"+address, nil)
	f(got, "dns://127.0.0.1/"+address, nil) // an address needs no DNS server

	s, got = newBackend(t)
	socket := filepath.Join(t.TempDir(), "otlp.sock")
	ln, err := net.Listen("unix", socket)
	require.NoError(t, err)
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	f(got, "unix://"+socket, nil)
	f(got, "unix:"+socket, nil)

	s, got = newBackend(t)
	s.EnableHTTP2 = true
	s.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	f(got, s.Listener.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
}

// TestTunnel sends by gRPC without TLS through an HTTP proxy.
func TestTunnel(t *testing.T) {
	s, got := newBackend(t)
	s.Start()
	address := s.Listener.Addr().String()
	var status atomic.Value
	status.Store("200 OK")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	asked := make(chan *http.Request, 1)
	var tunnels sync.WaitGroup
	serve := func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		r, err := http.ReadRequest(in)
		if err != nil {
			return // the client has given up
		}
		select {
		case asked <- r:
		default:
		}
		to, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer to.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 "+status.Load().(string)+"\r\n\r\n")
		tunnels.Go(func() { _, _ = io.Copy(conn, to); conn.Close() })
		_, _ = io.Copy(to, in)
	}
	tunnels.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tunnels.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(tunnels.Wait)
	defer ln.Close()
	via := func(*http.Request) (*url.URL, error) {
		return &url.URL{Scheme: "http", Host: ln.Addr().String(), User: url.UserPassword("user", "password")}, nil
	}
	if err := newClient(t, signal(ProtocolGRPC, "collector.example:4317", false), via).Send(t.Context(), []byte("message")); err != nil || len(*got) != 1 {
		t.Errorf("%d messages, %v", len(*got), err)
	}
	r := <-asked
	if user, password, _ := parseBasic(r); r.Method != http.MethodConnect || r.Host != "collector.example:4317" || user != "user" || password != "password" {
		t.Errorf("%s %s, %v", r.Method, r.Host, r.Header)
	}

	status.Store("403 Forbidden")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		<-asked // the second attempt: the first one has failed
		cancel()
	}()
	err = newClient(t, signal(ProtocolGRPC, "collector.example:4317", false), via).Send(ctx, []byte("message"))
	require.ErrorContains(t, err, "the proxy responded 403 Forbidden")
	assert.NotContains(t, err.Error(), "password")
}

// parseBasic returns the user and the password for the proxy.
func parseBasic(r *http.Request) (user, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
}

// TestBodyEndsUse checks that a transport that still reads does not see the next message.
func TestBodyEndsUse(t *testing.T) {
	var c Client
	b := c.body([][]byte{[]byte("re"), []byte("quest")})
	start := make([]byte, 3)
	if _, err := io.ReadFull(b, start); err != nil || string(start) != "req" {
		t.Fatalf("got %q, %v", start, err)
	}
	c.release()
	if n, err := b.Read(start); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

func FuzzRejected(f *testing.F) {
	f.Add([]byte("\x0a\x06\x08\x03\x12\x02no"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(_ *testing.T, reply []byte) { _ = rejected(reply) })
}
