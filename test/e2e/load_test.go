//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

// The load: so many calls, one each 20 ms, directly and as many behind the tap.
// The fault begins with the call faultFrom and lasts until the call faultTo.
const (
	loadCalls = 150
	loadPace  = 20 * time.Millisecond
	faultFrom = 25
	faultTo   = 65
)

// loadAddress is where the API is: on a network that only this test is on.
const loadAddress = "198.18.77.1"

// TestLoadDuringFaults calls the API 50 times a second, directly and behind the
// tap at once, while a fault of the way, of the tap's outputs or of its files
// comes and goes. A program that tries again as SDKs do loses no call behind the
// tap that it does not lose directly.
func TestLoadDuringFaults(t *testing.T) {
	t.Parallel()
	if os.Getenv(binaryVariable) == "" {
		onOwnNetwork(t)
		return
	}
	ip(t, "link", "set", "lo", "up")
	ip(t, "addr", "add", loadAddress+"/32", "dev", "lo")
	var table strings.Builder
	for _, f := range loadFaults() {
		t.Run(f.name, func(t *testing.T) {
			r := newLoadRig(t, f)
			direct, behind := r.run()
			extra := 0
			for i := range loadCalls {
				if behind[i].failed && !direct[i].failed {
					extra++
					t.Errorf("call %d fails only through the tap: %s", i, behind[i].last)
				}
			}
			if f.ofTheWay && (again(direct) == 0 || again(behind) == 0) {
				t.Errorf("the fault was not felt: %d and %d calls were tried again", again(direct), again(behind))
			}
			fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %d | %d |\n", f.name, loadCalls, again(direct), lost(direct), again(behind), lost(behind), extra)
		})
	}
	t.Logf("\n| fault | calls | directly: retries | failed | through the tap: retries | failed | failed only through the tap |\n|---|---|---|---|---|---|---|\n%s", table.String())
}

// onOwnNetwork runs the test that the calling one belongs to again, with a
// network and mounts of its own, which end with it. It returns, and logs, the rows
// of tables that it logs.
func onOwnNetwork(t *testing.T, env ...string) (rows string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(ctx, "unshare", "--net", "--mount", self, "-test.v", "-test.run=^"+name+"$", "-test.count=1")
	cmd.Env = append(append(os.Environ(), binaryVariable+"="+binary), env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Fatalf("%v\n%s", err, tail(string(out), 32<<10))
	}
	var table strings.Builder
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimLeft(line, " "); strings.HasPrefix(line, "|") {
			table.WriteString(line)
		}
	}
	t.Logf("\n%s", &table)
	return table.String()
}

// loadFault is something that goes wrong for a while.
type loadFault struct {
	name     string
	ofTheWay bool // it is felt directly, too
	secure   bool // calls are made over HTTPS, which the tap intercepts
	args     []string
	env      []string
	limit    string                      // of the shell, under which the tap starts
	setUp    func(*loadRig)              // before the tap starts
	begin    func(*loadRig) (end func()) // during the load
	felt     func(metrics string) bool   // whether the tap's metrics show it; nil if they do not
}

// loadRig is the API, its name server, a tap, and programs that call.
type loadRig struct {
	t     *testing.T
	fault loadFault
	dir   string
	api   *fragile
	dns   *nameServer
	roots *x509.CertPool // that vouch for the API

	args   []string
	stderr *os.File
	proxy  string
	admin  string
	cmd    *exec.Cmd
}

func newLoadRig(t *testing.T, f loadFault) *loadRig {
	t.Helper()
	r := &loadRig{t: t, fault: f, dir: t.TempDir(), args: f.args}
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, `{"requestid":%q}`, req.FormValue("id"))
	})
	var cfg *tls.Config
	port := "80"
	if f.secure {
		cert, certPEM := selfsigned.Certificate(apiHost)
		cfg, port, r.roots = &tls.Config{Certificates: []tls.Certificate{cert}}, "443", x509.NewCertPool()
		r.roots.AppendCertsFromPEM(certPEM)
		r.write("vendor.pem", certPEM)
		r.args = append(r.args, "--intercept", "--intercept.ca-dir="+r.path("ca"), "--intercept.publish-dir="+r.path("published"), "--upstream.ca-file="+r.path("vendor.pem"))
		require.NoError(t, os.Mkdir(r.path("published"), 0o755))
	}
	r.api = newFragile(t, net.JoinHostPort(loadAddress, port), handler, cfg)
	r.dns = newNameServer(t, "127.0.0.1:0", "", loadAddress)
	if f.setUp != nil {
		f.setUp(r)
	}
	r.startTap()
	return r
}

func (r *loadRig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *loadRig) write(name string, text []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), text, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// fifo makes a named pipe.
func (r *loadRig) fifo(name string) string {
	r.t.Helper()
	if err := syscall.Mkfifo(r.path(name), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.path(name)
}

func (r *loadRig) startTap() {
	r.t.Helper()
	r.proxy, r.admin = freeport.TCP(r.t), freeport.TCP(r.t)
	args := append([]string{
		"run", "--proxy.listen-address=" + r.proxy, "--web.listen-address=" + r.admin, "--log.access",
		"--upstream.resolver=" + r.dns.address(), "--upstream.dial-timeout=500ms",
	}, r.args...)
	limit := "true"
	if r.fault.limit != "" {
		limit = r.fault.limit
	}
	r.cmd = exec.Command("/bin/sh", append([]string{"-c", limit + ` && exec "$0" "$@"`, binary}, args...)...)
	r.cmd.Env = append(os.Environ(), r.fault.env...)
	var out bytes.Buffer
	if r.stderr != nil {
		r.cmd.Stderr = r.stderr
	} else {
		r.cmd.Stderr = &out
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.t.Errorf("the tap ended: %v", err)
		}
		if code := exits(r.t, r.cmd); code != 0 {
			r.t.Errorf("the tap's exit code is %d", code)
		}
		if strings.Contains(out.String(), "DATA RACE") || r.t.Failed() {
			r.t.Logf("the tap printed:\n%s", tail(out.String(), 8<<10))
		}
	})
	awaitReady(r.t, "the tap", "http://"+r.admin)
}

func (r *loadRig) signal(sig os.Signal) {
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Error(err)
	}
}

// outcome is what became of a call.
type outcome struct {
	attempts int
	failed   bool
	last     string // of its attempts
}

func again(all []outcome) (n int) {
	for _, o := range all {
		if o.attempts > 1 {
			n++
		}
	}
	return n
}

func lost(all []outcome) (n int) {
	for _, o := range all {
		if o.failed {
			n++
		}
	}
	return n
}

// run makes the calls, both loads in step, and returns what became of them.
func (r *loadRig) run() (direct, behind []outcome) {
	r.t.Helper()
	roots := r.roots
	if r.fault.secure {
		text, err := os.ReadFile(r.path("published/bundle.pem"))
		if err != nil {
			r.t.Fatal(err)
		}
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
	}
	directly := r.client(nil, r.roots)
	tapped := r.client(http.ProxyURL(&url.URL{Scheme: "http", Host: r.proxy}), roots)
	direct, behind = make([]outcome, loadCalls), make([]outcome, loadCalls)
	var calls sync.WaitGroup
	tick := time.NewTicker(loadPace)
	defer tick.Stop()
	var end func()
	for i := range loadCalls {
		<-tick.C
		switch i {
		case faultFrom:
			end = r.fault.begin(r)
		case faultTo:
			end()
		}
		calls.Go(func() { direct[i] = r.call(directly, i) })
		calls.Go(func() { behind[i] = r.call(tapped, i) })
	}
	calls.Wait()
	if r.fault.felt != nil {
		eventually(r.t, "the tap's metrics show the fault", func() bool {
			_, metrics := get(r.t, "http://"+r.admin+"/metrics")
			return r.fault.felt(metrics)
		})
	}
	for _, c := range slices.Concat(directly, tapped) {
		c.CloseIdleConnections()
	}
	return direct, behind
}

// client returns a client that keeps connections, and one that opens one for
// each call.
func (r *loadRig) client(proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool) []*http.Client {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, r.dns.address())
	}}
	var all []*http.Client
	for _, single := range []bool{false, true} {
		all = append(all, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			Proxy: proxy, DisableKeepAlives: single, TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: (&net.Dialer{Timeout: 500 * time.Millisecond, Resolver: resolver}).DialContext,
		}})
	}
	return all
}

// call makes a call as SDKs do: what gets no response, or a 500, 502, 503 or 504,
// is sent again, up to seven times and later each time.
func (r *loadRig) call(clients []*http.Client, i int) (o outcome) {
	scheme := "http"
	if r.fault.secure {
		scheme = "https"
	}
	address := scheme + "://" + apiHost + "/?Action=ListMetrics&Version=2010-05-25&id=" + strconv.Itoa(i)
	want := fmt.Sprintf(`{"requestid":"%d"}`, i)
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		o.attempts++
		res, err := clients[i%2].Get(address)
		if err != nil {
			o.last = err.Error()
		} else {
			var body []byte
			body, err = io.ReadAll(res.Body)
			res.Body.Close()
			o.last = fmt.Sprintf("%d %s, %v", res.StatusCode, body, err)
			if err == nil && res.StatusCode == http.StatusOK && string(body) == want {
				return o
			}
		}
		if o.attempts == 7 || err == nil && !slices.Contains([]int{500, 502, 503, 504}, res.StatusCode) {
			o.failed = true
			return o
		}
		<-time.After(wait)
	}
}

// nameServer answers questions for IPv4 with one address, unless it fails.
type nameServer struct {
	pc    net.PacketConn
	fails atomic.Bool
	asked atomic.Int64 // questions for IPv4
}

// newNameServer serves names that end so at an address.
func newNameServer(t *testing.T, at, suffix, address string) *nameServer {
	t.Helper()
	pc, err := net.ListenPacket("udp", at)
	require.NoError(t, err)
	t.Cleanup(func() { pc.Close() })
	s := &nameServer{pc: pc}
	go upstreamtest.ServeUDP(pc, func(query []byte, _ bool) [][]byte {
		var question dnsmessage.Message
		if question.Unpack(query) != nil || len(question.Questions) != 1 {
			return nil
		}
		q := question.Questions[0]
		if q.Type == dnsmessage.TypeA {
			s.asked.Add(1)
		}
		h, addresses := dnsmessage.Header{RecursionAvailable: true}, []string{address}
		switch {
		case s.fails.Load():
			h.RCode, addresses = dnsmessage.RCodeServerFailure, nil
		case !strings.HasSuffix(q.Name.String(), suffix):
			h.RCode, addresses = dnsmessage.RCodeNameError, nil
		}
		return [][]byte{upstreamtest.Reply(t, query, h, false, addresses...)}
	})
	return s
}

func (s *nameServer) address() string { return s.pc.LocalAddr().String() }

// command runs one that changes the network, and returns what takes it back.
func (r *loadRig) command(do, undo string) (end func()) {
	run := func(command string) {
		if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
			r.t.Errorf("%s: %v: %s", command, err, out)
		}
	}
	run(do)
	return func() { run(undo) }
}

// dropped reports whether lines of the log are lost.
func dropped(reason string) func(string) bool {
	return func(metrics string) bool {
		return !strings.Contains(metrics, `ksyun_tap_observations_dropped_total{reason="`+reason+`",sink="logs"} 0`)
	}
}

func loadFaults() []loadFault {
	nothing := func() {}
	return []loadFault{
		{name: "no fault", begin: func(*loadRig) func() { return nothing }},
		{name: "the name is not found", ofTheWay: true, begin: func(r *loadRig) func() {
			r.dns.fails.Store(true)
			return func() { r.dns.fails.Store(false) }
		}},
		{name: "connections are refused", ofTheWay: true, begin: func(r *loadRig) func() { r.api.down(); return r.api.up }},
		{name: "the host is unreachable", ofTheWay: true, begin: func(r *loadRig) func() {
			return r.command("ip addr del "+loadAddress+"/32 dev lo", "ip addr add "+loadAddress+"/32 dev lo")
		}},
		{name: "connecting times out", ofTheWay: true, begin: func(r *loadRig) func() {
			return r.command("nft add table inet load; nft add chain inet load in '{ type filter hook input priority 0; }'; nft add rule inet load in ip daddr "+loadAddress+" tcp flags '& (syn | ack) == syn' drop",
				"nft delete table inet load")
		}},
		{name: "connections are reset", ofTheWay: true, begin: func(r *loadRig) func() {
			return r.command("nft add table inet load; nft add chain inet load in '{ type filter hook input priority 0; }'; nft add rule inet load in ip daddr "+loadAddress+" tcp dport 80 reject with tcp reset",
				"nft delete table inet load")
		}},
		{name: "no descriptors", limit: "ulimit -n 64", begin: func(r *loadRig) func() {
			var held []net.Conn
			for range 200 {
				nc, err := net.Dial("tcp", r.proxy)
				if err != nil {
					r.t.Error(err)
					break
				}
				held = append(held, nc)
				fmt.Fprintf(nc, "GET /?id=held HTTP/1.1\r\nHost: %s\r\n\r\n", apiHost)
			}
			return func() {
				for _, nc := range held {
					nc.Close()
				}
			}
		}, felt: func(metrics string) bool {
			return !strings.Contains(metrics, "\nksyun_tap_client_connections_reclaimed_total 0\n")
		}},
		{name: "the reader of standard error goes away", setUp: func(r *loadRig) {
			read, write, err := os.Pipe()
			if err != nil {
				r.t.Fatal(err)
			}
			r.stderr = write
			r.t.Cleanup(func() { write.Close() })
			go func() { _, _ = io.Copy(io.Discard, read) }()
			r.fault.begin = func(*loadRig) func() { read.Close(); return nothing }
		}, felt: dropped("write_failed")},
		{
			name: "standard error is stuck", args: []string{"--log.level=debug"}, setUp: func(r *loadRig) { r.stderr = fullPipe(r.t) },
			begin: func(*loadRig) func() { return nothing },
		},
		{name: "the log is a pipe that nobody reads", setUp: func(r *loadRig) {
			r.args = append(r.args, "--log.file="+r.fifo("log"))
		}, begin: func(r *loadRig) func() {
			f, err := os.OpenFile(r.path("log"), os.O_RDWR, 0) // somebody who does not read
			if err != nil {
				r.t.Error(err)
				return nothing
			}
			return func() { f.Close() }
		}},
		{name: "the log's file system is full", args: []string{"--log.file=/dev/full"}, begin: func(r *loadRig) func() {
			r.signal(syscall.SIGUSR1)
			return nothing
		}, felt: dropped("write_failed")},
		{name: "the settings become a pipe, and are reloaded", setUp: func(r *loadRig) {
			r.write("settings", []byte("log.level: info\n"))
			r.args = append(r.args, "--config.file="+r.path("settings"))
		}, begin: func(r *loadRig) func() {
			_ = os.Remove(r.path("settings"))
			r.fifo("settings")
			r.signal(syscall.SIGHUP)
			return func() {
				_ = os.Remove(r.path("settings"))
				r.write("settings", []byte("log.level: warn\n"))
				r.signal(syscall.SIGHUP)
			}
		}},
		{name: "the settings are broken, and reloaded", setUp: func(r *loadRig) {
			r.write("settings", []byte("log.level: info\n"))
			r.args = append(r.args, "--config.file="+r.path("settings"))
		}, begin: func(r *loadRig) func() {
			r.write("settings", []byte("log.level: [\n"))
			r.signal(syscall.SIGHUP)
			return func() { r.signal(syscall.SIGHUP) }
		}, felt: func(metrics string) bool {
			return strings.Contains(metrics, "\nksyun_tap_config_last_reload_successful 0\n")
		}},
		{name: "the published CA's directory becomes somebody else's, and is removed", secure: true, begin: func(r *loadRig) func() {
			if err := os.Chown(r.path("published"), 65534, 65534); err != nil {
				r.t.Error(err)
			}
			r.signal(syscall.SIGHUP)
			return func() {
				_ = os.RemoveAll(r.path("published"))
				r.signal(syscall.SIGHUP)
			}
		}},
		{name: "the receiver of spans hangs", setUp: func(r *loadRig) {
			ln, err := net.Listen("tcp", "127.0.0.1:0") // and nobody accepts
			if err != nil {
				r.t.Fatal(err)
			}
			r.t.Cleanup(func() { ln.Close() })
			r.fault.env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + ln.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY=50"}
		}, args: []string{"--traces.success-ratio=1"}, begin: func(*loadRig) func() { return nothing }},
	}
}
