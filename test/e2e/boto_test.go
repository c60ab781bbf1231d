//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// fragile is an API that can be taken down: nothing listens on its address
// then, no other process can, and open connections are closed.
type fragile struct {
	t       *testing.T
	address string
	handler http.Handler
	tls     *tls.Config // nil is plain HTTP

	mu     sync.Mutex
	server *http.Server // nil while it is down
	served sync.WaitGroup
}

func newFragile(t *testing.T, address string, handler http.Handler, cfg *tls.Config) *fragile {
	t.Helper()
	f := &fragile{t: t, address: holdAddress(t, address), handler: handler, tls: cfg}
	f.up()
	t.Cleanup(f.down)
	return f
}

// holdAddress binds a socket to an address of IPv4, of a port that is free if it
// is 0, on which it never listens. Only those may listen there who ask for
// sharePort.
func holdAddress(t *testing.T, address string) string {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	require.NoError(t, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	require.NoError(t, err)
	return netip.AddrPortFrom(at.Addr(), uint16(bound.(*unix.SockaddrInet4).Port)).String()
}

// sharePort lets a listener have the port of a socket of holdAddress.
var sharePort = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(controlErr, err)
}}

func (f *fragile) up() {
	f.mu.Lock()
	defer f.mu.Unlock()
	ln, err := sharePort.Listen(context.Background(), "tcp", f.address)
	if err != nil {
		f.t.Error(err)
		return
	}
	if f.tls != nil {
		ln = tls.NewListener(ln, f.tls)
	}
	server := &http.Server{Handler: f.handler}
	f.server = server
	f.served.Go(func() { _ = server.Serve(ln) })
}

func (f *fragile) down() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		_ = f.server.Close()
		f.server = nil
	}
	f.served.Wait()
}

// cloudWatchMetrics responds like CloudWatch, whose API boto3 calls.
func cloudWatchMetrics(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, `<ListMetricsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><ListMetricsResult><Metrics/></ListMetricsResult>`+
		`<ResponseMetadata><RequestId>5a6d3c1e-0000-4000-8000-000000000001</RequestId></ResponseMetadata></ListMetricsResponse>`)
}

// boto is a running program on boto3, which calls on request.
type boto struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// startBoto starts it by a command such as exec's, or without one.
func startBoto(t *testing.T, env, by []string, endpoint, mode, attempts string) *boto {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	args := append(by, "/usr/bin/python3", "testdata/boto.py", endpoint, mode, attempts, good.AccessKey, good.SecretKey)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	b := &boto{t, cmd, in, bufio.NewScanner(out)}
	require.Equal(t, "ready", b.line(), "it printed")
	return b
}

func (b *boto) line() string {
	b.t.Helper()
	if !b.lines.Scan() {
		b.t.Fatalf("it ended: %v", b.cmd.Wait())
	}
	return b.lines.Text()
}

// call makes a call, runs again before the first retry, and returns the status
// and the number of attempts.
func (b *boto) call(again func()) (status string, sent int) {
	b.t.Helper()
	if _, err := io.WriteString(b.in, "\n"); err != nil {
		b.t.Fatal(err)
	}
	for n := 0; ; n++ {
		line := b.line()
		if line != "sends" {
			if _, err := fmt.Sscan(line, &status, &sent); err != nil || sent != n {
				b.t.Fatalf("%q after %d attempts: %v", line, n, err)
			}
			return status, sent
		}
		if n == 1 {
			again()
		}
	}
}

func (b *boto) end() {
	b.t.Helper()
	b.in.Close()
	if err := b.cmd.Wait(); err != nil {
		b.t.Error(err)
	}
}

// botoModes are botocore's retry modes, and the default maximum number of attempts
// in each.
var botoModes = map[string]int{"legacy": 5, "standard": 3, "adaptive": 3}

// TestBotoRecovers takes the API down when each of ten calls of boto3 begins,
// for 0.4 s and until the first retry, in each retry mode: all calls recover
// through the tap, as a forward proxy and under exec, as they do directly.
func TestBotoRecovers(t *testing.T) {
	t.Parallel()
	const calls, outage = 10, 400 * time.Millisecond
	var all subtests
	for mode := range botoModes {
		run := func(t *testing.T, api *fragile, b *boto) {
			t.Helper()
			for i := range calls {
				api.down()
				over := time.After(outage)
				status, sent := b.call(func() { <-over; api.up() })
				if status != "200" || sent < 2 {
					t.Errorf("call %d: %s after %d attempts", i, status, sent)
				}
			}
			b.end()
		}
		all.run(t, mode+" directly", func(t *testing.T) {
			api := newFragile(t, "127.0.0.1:0", http.HandlerFunc(cloudWatchMetrics), nil)
			run(t, api, startBoto(t, nil, nil, "http://"+api.address, mode, "12"))
		})
		all.run(t, mode+" by proxy", func(t *testing.T) {
			api := newFragile(t, "127.0.0.1:0", http.HandlerFunc(cloudWatchMetrics), nil)
			tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.address)
			run(t, api, startBoto(t, []string{"HTTP_PROXY=http://" + tap.proxy, "http_proxy=http://" + tap.proxy}, nil, "http://"+apiHost, mode, "12"))
			_, metrics := get(t, "http://"+tap.admin+"/metrics")
			if !strings.Contains(metrics, "\nksyun_api_errors_total{") || !strings.Contains(metrics, `outcome="success"`) {
				t.Error("the calls did not pass the tap")
			}
		})
		all.run(t, mode+" under exec", func(t *testing.T) {
			cert, certPEM := selfsigned.Certificate(apiHost)
			caFile := filepath.Join(t.TempDir(), "vendor.pem")
			testfile.Write(t, caFile, certPEM, 0o600)
			api := newFragile(t, "127.0.0.1:0", http.HandlerFunc(cloudWatchMetrics), &tls.Config{Certificates: []tls.Certificate{cert}})
			file := filepath.Join(t.TempDir(), "summary.json")
			by := []string{binary, "exec", "--upstream.ca-file=" + caFile, "--upstream.connect-to=" + apiHost + ":443=" + api.address, "--summary=json", "--summary.file=" + file, "--"}
			run(t, api, startBoto(t, nil, by, "https://"+apiHost, mode, "12"))
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), `"category":"network"`) {
				t.Errorf("summary %s, %v", text, err)
			}
		})
	}
	all.Wait()
}

// TestBotoAttempts counts the attempts of boto3 at a call that always fails:
// through the tap as many as directly.
func TestBotoAttempts(t *testing.T) {
	t.Parallel()
	var all subtests
	for mode, most := range botoModes {
		all.run(t, mode, func(t *testing.T) {
			api := newFragile(t, "127.0.0.1:0", http.HandlerFunc(cloudWatchMetrics), nil)
			tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.address)
			proxy := []string{"HTTP_PROXY=http://" + tap.proxy, "http_proxy=http://" + tap.proxy}
			direct := startBoto(t, nil, nil, "http://"+api.address, mode, "default")
			tapped := startBoto(t, proxy, nil, "http://"+apiHost, mode, "default")
			refused := startBoto(t, proxy, nil, "http://other.example", mode, "default")
			api.down()
			for _, c := range []struct {
				name   string
				by     *boto
				status string
				sent   int
			}{
				{"down, directly", direct, "EndpointConnectionError", most},
				{"down, behind the tap", tapped, "503", most},
				{"a host that the tap refuses", refused, "403", 1},
			} {
				if status, sent := c.by.call(func() {}); status != c.status || sent != c.sent {
					t.Errorf("%s: %s after %d attempts, want %s after %d", c.name, status, sent, c.status, c.sent)
				}
				c.by.end()
			}
		})
	}
	all.Wait()
}

// TestAttempts counts the attempts of other clients at a call that always
// fails.
func TestAttempts(t *testing.T) {
	t.Parallel()
	sdk := []string{buildSDKv1(t), "URL", good.AccessKey, good.SecretKey, "once"}
	requests := []string{"/usr/bin/python3", "-c", `import sys, requests
try:
    print(requests.Session().get(sys.argv[1], timeout=10).status_code, 1)
except requests.ConnectionError:
    print("none", 1)`, "URL"}
	nobody := holdAddress(t, "127.0.0.1:0")
	tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+nobody)
	for _, c := range []struct {
		name    string
		command []string
		sent    int
	}{{"Go SDK v1", sdk, 4}, {"requests", requests, 1}} {
		for _, to := range []struct{ name, url, proxy, want string }{
			{"down, directly", "http://" + nobody, "", fmt.Sprint("none ", c.sent)},
			{"down, behind the tap", "http://" + apiHost, "http://" + tap.proxy, fmt.Sprint("503 ", c.sent)},
			{"a host that the tap refuses", "http://other.example", "http://" + tap.proxy, "403 1"},
		} {
			t.Run(c.name+", "+to.name, func(t *testing.T) {
				args := slices.Clone(c.command)
				args[slices.Index(args, "URL")] = to.url
				cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
				cmd.Env = append(os.Environ(), "HTTP_PROXY="+to.proxy, "http_proxy="+to.proxy)
				out, err := cmd.CombinedOutput()
				if err != nil || strings.TrimSpace(string(out)) != to.want {
					t.Errorf("%v: %s, want %s", err, out, to.want)
				}
			})
		}
	}
	tap.stop(syscall.SIGTERM)
	// 4 of the SDK's and 1 of requests', as they count them themselves.
	assert.Equal(t, 5, strings.Count(tap.text(), `"category":"network"`), "attempts passed the tap")
}
