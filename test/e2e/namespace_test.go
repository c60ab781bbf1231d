//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// The two hosts of the tests: programs and tap on one, servers on the other.
// Their names are of this run alone.
var (
	programs = fmt.Sprintf("ksyuntap-programs-%d", os.Getpid())
	servers  = fmt.Sprintf("ksyuntap-servers-%d", os.Getpid())
)

// The servers' addresses, of both families: the API, a server that is not
// tapped, one that echoes, and one that speaks first.
var serverAddresses = map[string][]string{
	"v4": {"10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.5"},
	"v6": {"fd77::2", "fd77::3", "fd77::4", "fd77::5"},
}

// ip runs the tool of that name.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// newHost makes a host that is on no network.
func newHost(t *testing.T, ns string) {
	t.Helper()
	exec.Command("ip", "netns", "del", ns).Run() // of a test that was killed
	ip(t, "netns", "add", ns)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	ip(t, "-n", ns, "link", "set", "lo", "up")
}

// twoHosts is held by the test that has the two hosts.
var twoHosts sync.Mutex

// connectHosts makes the two hosts, with a cable between them, for one test at a
// time.
func connectHosts(t *testing.T) {
	t.Helper()
	twoHosts.Lock()
	t.Cleanup(twoHosts.Unlock)
	newHost(t, programs)
	newHost(t, servers)
	ip(t, "link", "add", "ktap0", "netns", programs, "type", "veth", "peer", "name", "ktap0", "netns", servers)
	for ns, addresses := range map[string][]string{
		programs: {"10.77.0.1/24", "fd77::1/64"},
		servers:  {"10.77.0.2/24", "10.77.0.3/24", "10.77.0.4/24", "10.77.0.5/24", "fd77::2/64", "fd77::3/64", "fd77::4/64", "fd77::5/64"},
	} {
		ip(t, "-n", ns, "link", "set", "ktap0", "up")
		for _, a := range addresses {
			args := []string{"-n", ns, "addr", "add", a, "dev", "ktap0"}
			if strings.Contains(a, ":") {
				args = append(args, "nodad")
			}
			ip(t, args...)
		}
	}
}

// serve starts the servers and returns a file with the CA that vouches for
// them.
func serve(t *testing.T) (caFile string) {
	t.Helper()
	cert, certPEM := selfsigned.Certificate(apiHost, "other.example")
	caFile = filepath.Join(t.TempDir(), "vendor.pem")
	testfile.Write(t, caFile, certPEM, 0o644)
	for dir := filepath.Dir(caFile); dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "not tapped") })
	api := cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}})
	for _, at := range serverAddresses {
		for i, h := range []http.Handler{api, plain} {
			for _, port := range []string{"80", "443"} {
				srv := httptest.NewUnstartedServer(h)
				srv.Listener.Close()
				srv.Listener = listenOn(t, servers, net.JoinHostPort(at[i], port))
				if port == "443" {
					srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
					srv.StartTLS()
				} else {
					srv.Start()
				}
				t.Cleanup(srv.Close)
			}
		}
		go rawconn.Serve(listenOn(t, servers, net.JoinHostPort(at[2], "443")), func(nc net.Conn) { io.Copy(nc, nc) })
		go rawconn.Serve(listenOn(t, servers, net.JoinHostPort(at[3], "443")), func(nc net.Conn) {
			io.WriteString(nc, "220 ready\r\n")
			line, _ := bufio.NewReader(nc).ReadString('\n')
			io.WriteString(nc, "you said "+line)
		})
	}
	return caFile
}

// within runs a command on a host and returns what it printed.
func within(t *testing.T, ns string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns}, command...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s%s", strings.Join(command, " "), err, out, said.String())
	}
	return string(out)
}

// ruleset returns all rules on the programs' host, as both tools print them.
func ruleset(t *testing.T) string {
	t.Helper()
	nft := within(t, programs, "nft", "list", "ruleset")
	// iptables keeps its own tables once it was used, without a rule in them.
	for _, family := range []string{"ip", "ip6"} {
		nft = strings.ReplaceAll(nft, "table "+family+" nat {\n\tchain OUTPUT {\n\t\ttype nat hook output priority -100; policy accept;\n\t}\n}\n", "")
	}
	return strings.Join([]string{nft, within(t, programs, "iptables", "-t", "nat", "-S"), within(t, programs, "ip6tables", "-t", "nat", "-S")}, "\n")
}

// on calls f on a host: sockets that it opens are that host's for good.
func on(t *testing.T, ns string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + ns)
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(fmt.Errorf("on %s: %w", ns, err))
	}
}

func listenOn(t *testing.T, ns, address string) (ln net.Listener) {
	t.Helper()
	on(t, ns, func() (err error) {
		ln, err = net.Listen("tcp", address)
		return err
	})
	t.Cleanup(func() { ln.Close() })
	return ln
}

// dialFrom connects by its IP address: with a name, another thread might dial.
func dialFrom(t *testing.T, ns, address string) (nc net.Conn) {
	t.Helper()
	on(t, ns, func() (err error) {
		to, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return err
		}
		nc, err = net.DialTCP("tcp", nil, to)
		return err
	})
	nc.SetDeadline(time.Now().Add(patience))
	return nc
}
