//go:build linux

package systemd_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/systemd"
)

// childVariable makes this binary take sockets over and print what it got.
const childVariable = "KSYUN_TAP_SYSTEMD_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

func child() {
	// The service manager writes the ID of the process that it becomes.
	os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	s, problems, err := systemd.TakeSockets([]string{"proxy", "admin"}, []string{"csm"})
	if err != nil {
		os.Stdout.WriteString("error: " + err.Error())
		return
	}
	if os.Getenv("LISTEN_FDS") != "" {
		os.Stdout.WriteString("LISTEN_FDS is still set")
	}
	for _, p := range problems {
		os.Stdout.WriteString(p.Variable + " is ignored: ")
	}
	for _, name := range []string{"proxy", "admin", "csm"} {
		os.Stdout.WriteString(name + "=" + strings.Join(s.Addresses(name), ",") + " ")
	}
	os.Stdout.WriteString(strconv.Itoa(len(s.Listeners("proxy"))) + " " + strconv.Itoa(len(s.Listeners("proxy"))))
	s.Close()
}

func TestSockets(t *testing.T) {
	tcp := func() *os.File {
		ln := rawconn.Listen(t)
		defer ln.Close()
		f, err := ln.File()
		require.NoError(t, err)
		return f
	}
	udp := func() *os.File {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		defer pc.Close()
		f, err := pc.(*net.UDPConn).File()
		require.NoError(t, err)
		return f
	}
	file := func() *os.File {
		f, err := os.Open(os.DevNull)
		require.NoError(t, err)
		return f
	}
	unix := func() *os.File {
		ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		require.NoError(t, err)
		defer ln.Close()
		f, err := ln.(*net.UnixListener).File()
		require.NoError(t, err)
		return f
	}
	for name, tc := range map[string]struct {
		names   string
		sockets []*os.File
		want    string // %0 is the address of the first socket
	}{
		"none":                 {"", nil, "proxy= admin= csm= 0 0"},
		"one":                  {"proxy", []*os.File{tcp()}, "proxy=%0 admin= csm= 1 0"},
		"all":                  {"proxy:csm:admin:proxy", []*os.File{tcp(), udp(), tcp(), tcp()}, "proxy=%0,%3 admin=%2 csm=%1 2 0"},
		"unknown":              {"ksyun-tap.socket", []*os.File{tcp()}, `error: the service manager passed a socket named "ksyun-tap.socket": write FileDescriptorName= and one of proxy, admin, csm`},
		"second of a datagram": {"csm:csm", []*os.File{udp(), udp()}, `error: the service manager passed two sockets named "csm": pass one`},
		"not TCP":              {"proxy", []*os.File{unix()}, `error: the socket "proxy" from the service manager is not a TCP socket: it is unix: write ListenStream=ADDRESS:PORT`},
		"no sockets":           {"proxy:admin", []*os.File{tcp(), file()}, "LISTEN_FDS is ignored: proxy= admin= csm= 0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"=1", "LISTEN_FDNAMES="+tc.names, "LISTEN_FDS="+strconv.Itoa(len(tc.sockets)))
			cmd.ExtraFiles = tc.sockets
			out, err := cmd.Output()
			require.NoError(t, err)
			want := tc.want
			for i, f := range tc.sockets {
				if pc, err := net.FilePacketConn(f); err == nil {
					want = strings.ReplaceAll(want, "%"+strconv.Itoa(i), pc.LocalAddr().String())
					pc.Close()
				} else if ln, err := net.FileListener(f); err == nil {
					want = strings.ReplaceAll(want, "%"+strconv.Itoa(i), ln.Addr().String())
					ln.Close()
				}
				f.Close()
			}
			assert.Equal(t, want, string(out))
		})
	}
}

// notified is a service manager's end of the messages.
func notified(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	pc, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { pc.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		buf := make([]byte, 4<<10)
		pc.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := pc.Read(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
}

func TestWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m, problems := systemd.Open(nil)
	require.Empty(t, problems)
	require.Nil(t, m)
	m.Ready("")
	m.Stopping()
	m.Watch(t.Context(), nil) // returns at once
}

func TestMessages(t *testing.T) {
	next := notified(t)
	m, problems := systemd.Open(func(err error) { t.Error(err) })
	require.Empty(t, problems)
	assert.False(t, m.Watches(), "it watches, though there is no watchdog")
	m.Ready("tapping")
	assert.Equal(t, "READY=1\nSTATUS=tapping", next(), "ready")
	m.Reloading()
	got := next()
	assert.True(t, strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC="), "reloading: %q", got)
	m.Stopping()
	if got := next(); !strings.HasPrefix(got, "STOPPING=1\n") {
		t.Errorf("stopping: %q", got)
	}
}

func TestWatchdogFollowsTheCheck(t *testing.T) {
	next := notified(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	failures := make(chan error, 100)
	m, problems := systemd.Open(func(err error) { failures <- err })
	require.Empty(t, problems)
	ctx, cancel := context.WithCancel(t.Context())
	checks, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func(ctx context.Context) error {
			select {
			case err := <-checks:
				return err
			case <-ctx.Done(): // hangs until it is given up
				return nil
			}
		})
	}()
	feed := func(err error) {
		t.Helper()
		for {
			select {
			case checks <- err:
				return
			case <-failures: // errors of checks that were not accepted
			}
		}
	}
	feed(nil)
	assert.Equal(t, "WATCHDOG=1", next(), "a good check")
	broken := errors.New("broken")
	feed(broken)
	for err := range failures {
		if errors.Is(err, broken) {
			break
		}
	}
	cancel()
	<-ended
}

// TestBadWatchdog has variables that no service manager sets: there is no
// watchdog, and a line says which is ignored.
func TestBadWatchdog(t *testing.T) {
	notified(t)
	for _, v := range [][2]string{{"soon", ""}, {"-1", ""}, {"0", ""}, {"30000000", "me"}, {"99999999999999999999", ""}} {
		t.Setenv("WATCHDOG_USEC", v[0])
		t.Setenv("WATCHDOG_PID", v[1])
		m, problems := systemd.Open(nil)
		if m == nil || m.Watches() || len(problems) != 1 || problems[0].Variable != "WATCHDOG_USEC" || strings.Contains(problems[0].Reason, v[0]) {
			t.Errorf("%v: %v, %v", v, m, problems)
		}
	}
}

// TestManagerThatReadsNothing has the manager's socket be full: messages are
// given up.
func TestManagerThatReadsNothing(t *testing.T) {
	notified(t)
	failed := false
	m, _ := systemd.Open(func(err error) {
		failed = true
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
	for range 10_000 { // more than any system holds
		if m.Ready("still"); failed {
			return
		}
	}
	t.Error("no message was given up")
}

func TestWatchdogHangs(t *testing.T) {
	notified(t)
	t.Setenv("WATCHDOG_USEC", "3000")
	failures := make(chan error, 1)
	m, problems := systemd.Open(func(err error) {
		select {
		case failures <- err:
		default:
		}
	})
	require.Empty(t, problems)
	ctx, cancel := context.WithCancel(t.Context())
	hang, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func(context.Context) error { <-hang; return nil })
	}()
	assert.ErrorContains(t, <-failures, "timed out")
	close(hang)
	cancel()
	<-ended
}

func TestListenerShowsThatItAccepts(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(address, func(t *testing.T) {
			plain, err := net.Listen("tcp", address)
			require.NoError(t, err)
			ln := systemd.NewListener(plain)
			accepted, ended := make(chan string, 10), make(chan struct{})
			go func() {
				defer close(ended)
				for {
					nc, err := ln.Accept()
					if err != nil {
						return
					}
					accepted <- nc.RemoteAddr().String()
					nc.Close()
				}
			}()
			for range 3 {
				require.NoError(t, ln.Check(t.Context()))
			}
			client, err := net.Dial("tcp", strings.NewReplacer("0.0.0.0", "127.0.0.1", "[::]", "[::1]").Replace(ln.Addr().String()))
			require.NoError(t, err)
			defer client.Close()
			// The first that is accepted is the client: no check is passed on.
			assert.Equal(t, client.LocalAddr().String(), <-accepted, "accepted")
			ln.Close()
			<-ended
			assert.Error(t, ln.Check(t.Context()), "a closed listener is said to accept")
		})
	}
}

func TestListenerThatDoesNotAccept(t *testing.T) {
	plain := rawconn.Listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // in which even a busy machine connects
	defer cancel()
	err := systemd.NewListener(plain).Check(ctx)
	assert.ErrorContains(t, err, "are not accepted", "the system connects, and nobody accepts")
}
