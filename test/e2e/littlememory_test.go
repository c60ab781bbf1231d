//go:build e2e

package e2e

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

// TestLittleMemory loads taps that have 128 MiB, without TLS and with TLS on both sides.
// With more memory, the system kills them.
func TestLittleMemory(t *testing.T) {
	plain := os.Getenv(littleVariable)
	if plain == "" { // the race detector takes several times the memory
		plain = filepath.Join(t.TempDir(), "ksyun-tap")
		out, err := exec.Command("go", "build", "-C", "../..", "-o", plain, "./cmd/ksyun-tap").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	for _, load := range []struct {
		name   string
		secure []bool
		put    func(*little)
		flags  []string
		env    func(t *testing.T) []string
	}{
		{"answers", []bool{false, true}, (*little).answers, nil, nil},
		{"heads", []bool{false, true}, (*little).heads, nil, nil},
		{"uploads", []bool{false, true}, (*little).uploads, nil, nil},
		{"both ways", []bool{false, true}, (*little).bothWays, nil, nil},
		{"kept", []bool{false, true}, (*little).kept, nil, nil},
		{"hellos", []bool{true}, (*little).hellos, nil, nil},
		{"tunnels", []bool{false}, (*little).tunnels, nil, nil},
		{"failures", []bool{false, true}, (*little).failures, []string{"--evidence", "--log.access"}, silentBackend},
	} {
		for _, secure := range load.secure {
			name := load.name
			if secure {
				name += ", TLS"
			}
			t.Run(name, func(t *testing.T) {
				l := newLittle(t, plain, secure, load.flags, load.env)
				load.put(l)
				l.check()
			})
		}
	}
}

// littleVariable names a binary to test in place of one that is built.
const littleVariable = "E2E_KSYUN_TAP_LITTLE"

// littleMemory is the memory of the tap, in bytes.
const littleMemory = 128 << 20

// How many programs call at once, and how long bodies are.
const crowd, bodyBytes = 1000, 1 << 20

// The same with TLS, and how many programs are in a handshake at once, for which the tap
// waits half a minute.
var (
	secureCrowd = setting("E2E_LITTLE_TLS_PROGRAMS", crowd, strconv.Atoi)
	secureBytes = setting("E2E_LITTLE_TLS_BYTES", bodyBytes, strconv.Atoi)
	handshakes  = setting("E2E_LITTLE_TLS_HANDSHAKES", crowd, strconv.Atoi)
)

// little is a tap with little memory.
type little struct {
	*testing.T
	tap          *process
	group        string // its cgroup, "" if none could be made
	proxy, admin string
	web          *http.Client // of admin
	other        net.Listener // of example.com, which is not tapped
	programs     int
	bytes        int           // of a body
	tls          *tls.Config   // of programs; nil without TLS
	shaking      chan struct{} // holds an element for each program that shakes hands
	vendor       http.Handler
	calls        sync.WaitGroup
	busy         atomic.Int64 // programs that were told so
	arrived      atomic.Int64 // calls at the API
	waiting      chan struct{}
	release      func() // closes waiting
}

func newLittle(t *testing.T, binary string, secure bool, flags []string, env func(t *testing.T) []string) *little {
	l := &little{T: t, proxy: freeport.TCP(t), admin: freeport.TCP(t), web: &http.Client{Transport: &http.Transport{}}, programs: crowd, bytes: bodyBytes, shaking: make(chan struct{}, handshakes), waiting: make(chan struct{})}
	l.release = sync.OnceFunc(func() { close(l.waiting) })
	vendor := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.vendor.ServeHTTP(w, r) }))
	vendor.Config.MaxHeaderBytes = 128 << 10
	vendor.Config.ErrorLog = log.New(io.Discard, "", 0) // the tap ends connections that make room
	vendor.Listener.Close()
	vendor.Listener = listenSmall(t)
	l.other = listenSmall(t)
	dir := t.TempDir()
	args := append([]string{
		"run", "--proxy.listen-address=" + l.proxy, "--web.listen-address=" + l.admin,
		"--tap.other-hosts=forward", "--upstream.connect-to=example.com:443=" + l.other.Addr().String(),
		"--journal.path=" + filepath.Join(dir, "journal.db"),
	}, flags...)
	if secure {
		l.programs, l.bytes = secureCrowd, secureBytes
		cert, pem := selfsigned.Certificate(apiHost)
		vendor.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		vendor.StartTLS()
		certFile := filepath.Join(dir, "vendor.pem")
		require.NoError(t, os.WriteFile(certFile, pem, 0o600))
		args = append(args, "--intercept", "--intercept.ca-dir="+filepath.Join(dir, "ca"), "--upstream.ca-file="+certFile,
			"--upstream.connect-to="+apiHost+":443="+vendor.Listener.Addr().String())
	} else {
		vendor.Start()
		args = append(args, "--upstream.connect-to="+apiHost+":80="+vendor.Listener.Addr().String())
	}
	t.Cleanup(func() { // the tap has ended
		l.release()
		vendor.CloseClientConnections()
		vendor.Close()
		l.calls.Wait() // they report errors
	})
	limit, command, group := withMemory(t, littleMemory)
	if env != nil {
		limit = append(limit, env(t)...)
	}
	l.group = group
	l.tap = start(t, limit, "sh", append([]string{"-c", command, binary}, args...)...)
	awaitReady(t, "the tap", "http://"+l.admin)
	l.metrics() // its connection serves later ones, when the programs leave little time for a new one
	if secure {
		l.tls = &tls.Config{ServerName: apiHost, RootCAs: x509.NewCertPool()}
		require.True(t, l.tls.RootCAs.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(dir, "ca", "ca.pem")))))
	}
	return l
}

// smallBuffers limits what the system buffers for a socket. Otherwise the connections of
// a thousand programs hold more than it has for TCP in all.
func smallBuffers(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) {
		err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10))
	}); e != nil {
		return e
	}
	return err
}

func listenSmall(t *testing.T) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{Control: smallBuffers}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dialSmall(address string) (net.Conn, error) {
	return (&net.Dialer{Control: smallBuffers}).Dial("tcp", address)
}

var errBusy = errors.New("the limit of connections is reached")

// dial connects a program to the API.
func (l *little) dial() (net.Conn, error) {
	if l.tls == nil {
		return dialSmall(l.proxy)
	}
	l.shaking <- struct{}{}
	defer func() { <-l.shaking }()
	nc, err := dialSmall(l.proxy)
	if err != nil {
		return nil, err
	}
	io.WriteString(nc, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: "+apiHost+":443\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		nc.Close()
		return nil, errBusy
	}
	tc := tls.Client(nc, l.tls)
	if tc.Handshake() != nil { // the connection made room for another one
		nc.Close()
		return nil, errBusy
	}
	return tc, nil
}

// program connects and calls use. What it returns is an error, unless the tap was busy.
func (l *little) program(use func(nc net.Conn) error) {
	l.calls.Go(func() {
		nc, err := l.dial()
		if err == nil {
			defer nc.Close()
			err = use(nc)
		}
		if errors.Is(err, errBusy) {
			l.busy.Add(1)
			return
		}
		assert.NoError(l, err)
	})
}

// response reads a response and returns the length of its body.
func (l *little) response(nc net.Conn) (int64, error) {
	r := bufio.NewReaderSize(nc, 4<<10)
	if _, err := r.Peek(1); err != nil { // it made room before its request was read
		return 0, errBusy
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	if resp.Header.Get("X-Ksyun-Tap-Error") == "busy" {
		return 0, errBusy
	}
	if e := resp.Header.Get("X-Ksyun-Tap-Error"); e != "" {
		return 0, errors.New(e)
	}
	return io.Copy(io.Discard, resp.Body)
}

// assemble waits until all programs' calls have arrived, but for those that were refused,
// and has the API answer them. refused is busy's Load, or l.refused where programs do not
// read yet.
func (l *little) assemble(refused func() int64) {
	eventually(l.T, "all calls arrive", func() bool { return l.Failed() || l.arrived.Load()+refused() >= int64(l.programs) })
	l.Logf("%d calls at once, %d refused", l.arrived.Load(), refused())
	l.release()
}

func (l *little) get(path, header string, nc net.Conn) {
	io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: "+apiHost+"\r\n"+header+"\r\n")
}

// put sends a request with body, of which it makes no copy: those of a thousand programs are
// two gigabytes, and take the test's time.
func (l *little) put(body []byte, nc net.Conn) {
	head := "POST /?Action=PutMetricData HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	request := net.Buffers{[]byte(head), body}
	request.WriteTo(nc)
}

// answers has the API answer all calls at once, with long bodies.
func (l *little) answers() {
	answer := `{"Data":"` + strings.Repeat("0123456789abcdef", l.bytes/16) + `"}`
	l.vendor = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		l.arrived.Add(1)
		<-l.waiting
		io.WriteString(w, answer)
	})
	for range l.programs {
		l.program(func(nc net.Conn) error {
			l.get("/?Action=ListMetrics", "", nc)
			n, err := l.response(nc)
			if err == nil && n != int64(len(answer)) {
				err = fmt.Errorf("%d bytes", n)
			}
			return err
		})
	}
	l.assemble(l.busy.Load)
	l.calls.Wait()
}

// heads has the API answer with heads of 60 KiB, which programs do not read until all
// are sent.
func (l *little) heads() {
	l.vendor = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 60 {
			w.Header().Set("X-Field-"+strconv.Itoa(i), strings.Repeat("v", 1<<10))
		}
		l.arrived.Add(1)
		io.WriteString(w, "{}")
	})
	for range l.programs {
		l.program(func(nc net.Conn) error {
			l.get("/?Action=ListMetrics", "", nc)
			<-l.waiting
			n, err := l.response(nc)
			if err == nil && n != 2 {
				err = fmt.Errorf("%d bytes", n)
			}
			return err
		})
	}
	l.assemble(l.refused)
	l.calls.Wait()
}

// headTime is how long the web listener waits for a request on a new connection.
const headTime = 5 * time.Second

// ask returns the tap's response to a request for path. A thousand programs run in this process,
// and on a slow machine a goroutine gets its turn after seconds. If the tap may have closed a new
// connection because of that, ask tries again. Whatever else fails is the tap's fault.
func (l *little) ask(path string) (int, string) {
	l.Helper()
	for {
		start := time.Now()
		var dialed, got, wrote atomic.Int64 // nanoseconds since start, of the last connection; 0 is never
		note := func(what *atomic.Int64) { what.Store(int64(time.Since(start))) }
		req := must(http.NewRequest(http.MethodGet, "http://"+l.admin+path, nil))
		res, err := l.web.Do(req.WithContext(httptrace.WithClientTrace(l.Context(), &httptrace.ClientTrace{
			GetConn:      func(string) { dialed.Store(0); got.Store(0); wrote.Store(0) },
			ConnectStart: func(string, string) { note(&dialed) },
			GotConn:      func(httptrace.GotConnInfo) { note(&got) },
			WroteRequest: func(httptrace.WroteRequestInfo) { note(&wrote) },
		})))
		if err == nil {
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(l, err)
			return res.StatusCode, string(body)
		}
		times := fmt.Sprintf("connecting from %v on, connected after %v, sent after %v, failed after %v",
			time.Duration(dialed.Load()), time.Duration(got.Load()), time.Duration(wrote.Load()), time.Since(start))
		sent := cmp.Or(wrote.Load(), int64(time.Since(start)))
		if dialed.Load() == 0 || got.Load() == 0 || sent-dialed.Load() < int64(headTime) {
			require.NoError(l, err, times)
		}
		l.Logf("%s is asked for again, as the request was late: %v; %s", path, err, times)
	}
}

func (l *little) metrics() string {
	l.Helper()
	status, body := l.ask("/metrics")
	require.Equal(l, http.StatusOK, status, body)
	return body
}

// refused returns how many connections were refused, or closed to make room.
func (l *little) refused() (sum int64) {
	metrics := l.metrics()
	for _, how := range []string{"refused", "reclaimed"} {
		_, after, _ := strings.Cut(metrics, "\nksyun_tap_client_connections_"+how+"_total ")
		var n float64
		fmt.Sscan(after, &n)
		sum += int64(n)
	}
	return sum
}

// uploads has programs send long bodies that the API does not read until all have
// begun.
func (l *little) uploads() {
	l.vendor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.arrived.Add(1)
		<-l.waiting
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, `{"n":"%010d"}`, n)
	})
	body := []byte(strings.Repeat("Metric.1=abcdef&", l.bytes/16))
	for range l.programs {
		l.program(func(nc net.Conn) error {
			l.calls.Go(func() { l.put(body, nc) })
			n, err := l.response(nc)
			if err == nil && n != 18 {
				err = fmt.Errorf("%d bytes", n)
			}
			return err
		})
	}
	l.assemble(l.busy.Load)
	l.calls.Wait()
}

// bothWays has programs send bodies, and the API answer, while neither reads.
func (l *little) bothWays() {
	size := l.bytes
	body := []byte(strings.Repeat("0123456789abcdef", size/16))
	l.vendor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Write(body[:1])
		http.NewResponseController(w).Flush()
		l.arrived.Add(1)
		var sent sync.WaitGroup
		sent.Go(func() { w.Write(body[1:]) })
		<-l.waiting
		io.Copy(io.Discard, r.Body)
		sent.Wait()
	})
	for range l.programs {
		l.program(func(nc net.Conn) error {
			l.calls.Go(func() { l.put(body, nc) })
			<-l.waiting
			n, err := l.response(nc)
			if err == nil && n != int64(size) {
				err = fmt.Errorf("%d bytes", n)
			}
			return err
		})
	}
	l.assemble(l.refused)
	l.calls.Wait()
}

// kept keeps as many connections open as the descriptors of the test allow, each after
// a call with a response of 256 KiB.
func (l *little) kept() {
	const programs = 9500
	answer := `{"Data":"` + strings.Repeat("0123456789abcdef", 16<<10) + `"}`
	l.vendor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, answer)
	})
	n := programs
	if l.tls != nil {
		n = l.programs * 3 / 2 // handshakes take their time
	}
	body := strings.Repeat("x", 64<<10)
	var kept []net.Conn
	var mu sync.Mutex
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	for range 8 {
		l.calls.Go(func() {
			for range work {
				nc, err := l.dial()
				if !assert.NoError(l, err) {
					return
				}
				io.WriteString(nc, "POST /?Action=ListMetrics HTTP/1.1\r\nHost: "+apiHost+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
				_, err = l.response(nc)
				assert.NoError(l, err)
				mu.Lock()
				kept = append(kept, nc)
				mu.Unlock()
			}
		})
	}
	l.calls.Wait()
	for _, nc := range kept {
		nc.Close()
	}
}

// hellos has programs send ClientHellos slowly, which are as large as they may be.
func (l *little) hellos() {
	l.vendor = http.NotFoundHandler()
	// A record that announces a ClientHello of 60 KiB, in fragments.
	hello := []byte{1, 0, 0xf0, 0, 3, 3}
	hello = append(hello, make([]byte, 32+1+2)...)
	record := func(b []byte) []byte { return append([]byte{22, 3, 1, byte(len(b) >> 8), byte(len(b))}, b...) }
	var kept []net.Conn
	for range l.programs {
		nc, err := dialSmall(l.proxy)
		require.NoError(l, err)
		kept = append(kept, nc)
		io.WriteString(nc, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: "+apiHost+":443\r\n\r\n")
	}
	for _, nc := range kept {
		resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: http.MethodConnect})
		if err != nil || resp.StatusCode != http.StatusOK {
			continue
		}
		l.arrived.Add(1)
		nc.Write(record(append(hello, make([]byte, 15<<10)...)))
		nc.Write(record(make([]byte, 15<<10)))
	}
	l.metrics()
	l.metrics()
	l.Logf("%d hellos at once, %d refused", l.arrived.Load(), l.refused())
	for _, nc := range kept {
		nc.Close()
	}
}

// tunnels has programs and servers send through tunnels, without reading.
func (l *little) tunnels() {
	body := []byte(strings.Repeat("0123456789abcdef", l.bytes/16))
	exchange := func(nc net.Conn) {
		var sent sync.WaitGroup
		sent.Go(func() { nc.Write(body) })
		<-l.waiting
		n, err := io.CopyN(io.Discard, nc, int64(len(body)))
		assert.NoError(l, err, "after %d bytes", n)
		sent.Wait()
	}
	var ended atomic.Int64 // servers
	go rawconn.Serve(l.other, func(nc net.Conn) {
		defer ended.Add(1)
		l.arrived.Add(1)
		exchange(nc)
	})
	for range l.programs {
		l.calls.Go(func() {
			nc, err := dialSmall(l.proxy)
			if !assert.NoError(l, err) {
				return
			}
			defer nc.Close()
			io.WriteString(nc, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(nc, int64(len("HTTP/1.1 200 Connection Established\r\n\r\n")))), &http.Request{Method: http.MethodConnect})
			if err != nil || resp.StatusCode != http.StatusOK {
				l.busy.Add(1)
				return
			}
			exchange(nc)
		})
	}
	l.assemble(l.busy.Load)
	l.calls.Wait()
	eventually(l.T, "all servers end", func() bool { return ended.Load() == l.arrived.Load() })
}

// failures has calls fail, each in its own way, with all sinks on.
func (l *little) failures() {
	const programs = 64
	calls := 150 * l.bytes / bodyBytes
	l.vendor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := r.Header.Get("X-Number")
		w.Header().Set("X-Ksc-Request-Id", fmt.Sprintf("%08s-943c-4820-b35a-11673d6cd1fc", n))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"Error":{"Code":"Code%s","Message":"%s %s"},"Data":"%s"}`, n, n, strings.Repeat("message ", 4<<10), strings.Repeat("data", 8<<10))
	})
	long := strings.Repeat("x", 50<<10)
	for i := range programs {
		l.program(func(nc net.Conn) error {
			r := bufio.NewReader(nc)
			for j := range calls {
				n := strconv.Itoa(i*calls + j)
				l.get("/?Action=Action"+n+"&Version=2010-05-25&InstanceID="+n+long, "User-Agent: agent/"+n+" "+long[:4<<10]+"\r\nX-Number: "+n+"\r\n", nc)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return err
				}
				if resp.StatusCode != http.StatusBadRequest {
					return fmt.Errorf("%s %v", resp.Status, resp.Header)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	l.calls.Wait()
	for line := range strings.Lines(l.metrics()) {
		if strings.HasPrefix(line, "ksyun_tap_observations_dropped_total") && !strings.HasSuffix(line, " 0\n") {
			l.Log(strings.TrimSpace(line))
		}
	}
}

// silentBackend returns the environment for an OTLP backend that accepts connections
// and never answers.
func silentBackend(t *testing.T) []string {
	ln := rawconn.Listen(t)
	go rawconn.Serve(ln, func(nc net.Conn) { io.Copy(io.Discard, nc) })
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + ln.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_LOGS_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp",
	}
}

// check checks that the tap has survived.
func (l *little) check() {
	l.Helper()
	status, body := l.ask("/-/healthy")
	assert.Equal(l, http.StatusOK, status, "/-/healthy: %d %s", status, body)
	assert.LessOrEqual(l, l.busy.Load(), l.refused(), "programs got no response")
	peak := peakMemory(l.T, l.tap.cmd.Process.Pid)
	l.Logf("%d MiB were resident at most, with what the page cache shares", peak>>20)
	if l.group == "" {
		assert.LessOrEqual(l, peak, littleMemory)
	}
}

// mib returns the contents of a file of a cgroup, in MiB, or 0 if the system does not have it.
func mib(group, file string) string {
	b, _ := os.ReadFile(filepath.Join(group, file))
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return fmt.Sprintf("%.1f", float64(n)/(1<<20))
}

// withMemory returns the environment and the shell command for a program with a limit
// on its memory: of a cgroup if the machine permits one, else GOMEMLIMIT alone.
func withMemory(t *testing.T, limit int) (env []string, command, group string) {
	t.Helper()
	const v2, v1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
	for root, file := range map[string]string{v2: "memory.max", v1: "memory.limit_in_bytes"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue // no cgroup
		}
		group, err := os.MkdirTemp(root, "ksyun-tap-test-") //nolint:usetesting // a cgroup is no directory of the test's
		if err != nil {
			continue
		}
		stop := func() { t.Logf("peak %s MiB", mib(group, "memory.max_usage_in_bytes")) }
		if root == v2 {
			stop = watchMemory(t, group)
		}
		t.Cleanup(func() { // the program has ended, but the system may take a moment to notice
			stop()
			eventually(t, group+" is removed", func() bool { err := os.Remove(group); return err == nil || os.IsNotExist(err) })
		})
		if os.WriteFile(filepath.Join(group, file), []byte(strconv.Itoa(limit)), 0o644) == nil {
			return nil, `echo $$ > ` + group + `/cgroup.procs && exec "$0" "$@"`, group
		}
	}
	t.Log("no cgroup can be made")
	return []string{"GOMEMLIMIT=" + strconv.Itoa(limit/10*9)}, `exec "$0" "$@"`, ""
}

// watchMemory logs the peak of the memory of a cgroup of version 2, what it was for when most
// was seen, and how much was for sockets at most.
func watchMemory(t *testing.T, group string) (stop func()) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		var most, sockets int
		var atMost string
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-done:
				events, _ := os.ReadFile(filepath.Join(group, "memory.events"))
				t.Logf("peak %s MiB; the most that was seen: %s; sock at most %.1f", mib(group, "memory.peak"), atMost, float64(sockets)/(1<<20))
				assert.Contains(t, string(events), "\noom_kill 0\n", "the system killed the tap")
				return
			}
			now := 0
			stat, _ := os.ReadFile(filepath.Join(group, "memory.stat"))
			var parts string
			for line := range strings.Lines(string(stat)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				n, _ := strconv.Atoi(value)
				switch name {
				case "sock":
					sockets = max(sockets, n)
					fallthrough
				case "anon", "file", "kernel":
					now += n
					fallthrough
				case "shmem", "slab": // parts of file and kernel
					parts += fmt.Sprintf(", %s %.1f", name, float64(n)/(1<<20))
				}
			}
			if now > most {
				most, atMost = now, fmt.Sprintf("%.1f%s", float64(now)/(1<<20), parts)
			}
		}
	})
	return func() { close(done); watching.Wait() }
}

// peakMemory returns the most memory of a process that was resident, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var peak int
	_, err = fmt.Sscanf(after, "%d kB", &peak)
	require.NoError(t, err)
	return peak << 10
}
