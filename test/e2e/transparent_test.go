//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const tapUser = "65532"

// TestTransparent redirects the connections of one network namespace to a tap,
// by every backend and with the tap's own connections left out in either way.
func TestTransparent(t *testing.T) {
	t.Parallel()
	connectHosts(t)
	caFile := serve(t)
	for _, tc := range []struct{ backend, exclude string }{
		{"nft", "--exclude-uid=" + tapUser},
		{"iptables", "--exclude-mark=0x6b73"},
		{"nft", "--exclude-mark=0x6b73"},
		{"iptables", "--exclude-uid=" + tapUser},
	} {
		t.Run(tc.backend+" "+tc.exclude, func(t *testing.T) {
			before := ruleset(t)
			other := map[string]string{"nft": "iptables", "iptables": "nft"}[tc.backend]
			within(t, programs, binary, "init-redirect", "--backend="+other, tc.exclude) // is replaced
			for range 2 {                                                                // twice is once
				out := within(t, programs, binary, "init-redirect", "--backend="+tc.backend, tc.exclude)
				if out != "connections to ports [80 443] are redirected to port 18183 ("+tc.backend+")\n" {
					t.Errorf("init-redirect printed %s", out)
				}
			}
			rules := ruleset(t)
			byNft, byTables := strings.Count(rules, "dport { 80, 443 } redirect to :18183"), strings.Count(rules, "-A OUTPUT -p tcp -j KSYUN_TAP")
			if tc.backend == "nft" && (byNft != 1 || byTables != 0) || tc.backend == "iptables" && (byNft != 0 || byTables != 2) {
				t.Errorf("after two runs there is\n%s", rules)
			}
			tap, caDir := startTransparent(t, tc.exclude, caFile)
			for family, at := range serverAddresses {
				t.Run(family, func(t *testing.T) { transparentTraffic(t, tap, at, caDir, caFile) })
			}
			direct(t, tap)
			within(t, programs, binary, "init-redirect", "--undo")
			within(t, programs, binary, "init-redirect", "--undo")
			assert.Equal(t, before, ruleset(t), "undone, and yet there is")
			if code := tap.stop(unix.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestRulesAsNftReads has the kernel hold the same rules, whether they come from
// us or from nft by what --dry-run prints.
func TestRulesAsNftReads(t *testing.T) {
	t.Parallel()
	connectHosts(t)
	rules := []string{
		"init-redirect", "--backend=nft", "--to-port=18183", "--port=80", "--port=443", "--port=8080", "--exclude-uid=65532", "--exclude-uid=0",
		"--exclude-mark=0x6b73", "--exclude-cidr=10.0.0.0/8", "--exclude-cidr=192.0.2.128/25", "--exclude-cidr=198.51.100.7",
		"--exclude-cidr=fd00::/8", "--exclude-cidr=2001:db8::/33", "--exclude-cidr=::1",
	}
	within(t, programs, append([]string{binary}, rules...)...)
	ours := within(t, programs, "nft", "list", "table", "inet", "ksyun_tap")
	script := filepath.Join(t.TempDir(), "rules.nft")
	testfile.Write(t, script, within(t, programs, append([]string{binary}, append(rules, "--dry-run")...)...), 0o600)
	within(t, programs, "nft", "-f", script)
	if nfts := within(t, programs, "nft", "list", "table", "inet", "ksyun_tap"); ours != nfts || strings.Count(ours, "return") != 10 {
		t.Errorf("ours:\n%s\nnft's:\n%s", ours, nfts)
	}
	within(t, programs, binary, "init-redirect", "--undo")
	assert.Empty(t, within(t, programs, "nft", "list", "tables"), "undone, and yet there is")
}

// TestTransparentLoop has rules that redirect the tap's own connections, too:
// calls end at once, and the log says what to do.
func TestTransparentLoop(t *testing.T) {
	t.Parallel()
	connectHosts(t)
	caFile := serve(t)
	within(t, programs, binary, "init-redirect", "--exclude-uid=1")
	tap, _ := startTransparent(t, "--exclude-mark=0", caFile)
	for _, at := range []string{"10.77.0.2:80", "10.77.0.2:443", "10.77.0.4:443", "10.77.0.5:443"} {
		nc := dialFrom(t, programs, at)
		switch at {
		case "10.77.0.2:80":
			io.WriteString(nc, "GET /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: "+apiHost+"\r\nConnection: close\r\n\r\n")
		case "10.77.0.2:443":
			secure := tls.Client(nc, &tls.Config{ServerName: apiHost, InsecureSkipVerify: true})
			io.WriteString(secure, "GET /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: "+apiHost+"\r\nConnection: close\r\n\r\n")
			nc = secure
		}
		// Reset or, where it was found before anything was sent, a response.
		if text, err := io.ReadAll(nc); err == nil && len(text) > 0 && !bytes.Contains(text, []byte("<Code>TapLoop</Code>")) {
			t.Errorf("%s: %s", at, text)
		}
		nc.Close()
	}
	tap.wait("ksyun-tap's own", "--exclude-uid")
	metrics := within(t, programs, "curl", "-sS", "http://"+tap.admin+"/metrics")
	if strings.Contains(metrics, "\nksyun_tap_transparent_connections_refused_total{reason=\"loop\"} 0\n") {
		t.Error("KsyunTapRedirectLoop has nothing to ring for")
	}
	_, accepted, _ := strings.Cut(metrics, "\nksyun_tap_client_connections_accepted_total ")
	accepted, _, _ = strings.Cut(accepted, "\n")
	assert.LessOrEqual(t, len(accepted), 2, "%s connections came of four", accepted)
}

// transparentTraffic sends every kind of traffic from the programs' host.
func transparentTraffic(t *testing.T, tap *runningTap, at []string, caDir, caFile string) {
	before := failures(t, tap)
	for _, scheme := range []string{"http", "https"} {
		port := map[string]string{"http": "80", "https": "443"}[scheme]
		for field, want := range map[string]string{"X-None: 1": "200", "X-Simulate: error=LimitExceeded": "409"} {
			out := within(t, programs, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", filepath.Join(caDir, "bundle.pem"),
				"--resolve", apiHost+":"+port+":"+at[0], "--aws-sigv4", "aws:amz:cn-beijing-6:monitor", "-u", good.AccessKey+":"+good.SecretKey,
				"-H", "Accept: application/json", "-H", field, scheme+"://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25")
			assert.Equal(t, want, out, "%s, %s: status", scheme, field)
		}
		// The certificate that the program sees is the server's own.
		out := within(t, programs, "curl", "-sS", "--cacert", caFile, "--resolve", "other.example:"+port+":"+at[1], scheme+"://other.example/")
		assert.Equal(t, "not tapped", out, "%s to a host that is not tapped", scheme)
	}
	eventually(t, "two failures more", func() bool { return len(failures(t, tap)) == len(before)+2 })
	for _, f := range failures(t, tap) {
		if f.Code != "LimitExceeded" || f.Source != "transparent" || len(f.RequestID) != 36 {
			t.Errorf("failure %+v", f)
		}
	}

	echo := make([]byte, 300<<10)
	rand.Read(echo)
	echo[0] = 0 // neither TLS nor a method
	nc := dialFrom(t, programs, net.JoinHostPort(at[2], "443"))
	go func() {
		nc.Write(echo)
		nc.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, echo) {
		t.Errorf("echoed %d bytes of %d: %v", len(got), len(echo), err)
	}
	nc.Close()

	nc = dialFrom(t, programs, net.JoinHostPort(at[3], "443"))
	in := bufio.NewReader(nc)
	if line, err := in.ReadString('\n'); err != nil || line != "220 ready\r\n" {
		t.Errorf("a server that speaks first: %q, %v", line, err)
	}
	io.WriteString(nc, "QUIT\r\n")
	if line, err := in.ReadString('\n'); err != nil || line != "you said QUIT\r\n" {
		t.Errorf("its response: %q, %v", line, err)
	}
	nc.Close()
}

type failure struct {
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
	Source    string
}

func failures(t *testing.T, tap *runningTap) []failure {
	t.Helper()
	var list struct{ Data struct{ Failures []failure } }
	out := within(t, programs, "curl", "-sS", "http://"+tap.admin+"/api/v1/failures")
	require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	return list.Data.Failures
}

// direct connects to where only redirected connections should come.
func direct(t *testing.T, tap *runningTap) {
	t.Helper()
	on(t, programs, func() error {
		nc, err := net.Dial("tcp", "127.0.0.1:18183")
		if err == nil {
			defer nc.Close()
			_, err = nc.Read(make([]byte, 1))
		}
		assert.ErrorIs(t, err, unix.ECONNRESET, "a connection that was not redirected: %v, want a reset", err)
		return nil
	})
	tap.wait("directly and not redirected", "init-redirect")
	out := within(t, programs, "curl", "-sS", "http://"+tap.admin+"/metrics")
	assert.Contains(t, out, "\nksyun_tap_transparent_connections_refused_total{reason=\"direct\"} 1\n", "it is not counted")
}

// startTransparent starts a tap on the programs' host: as a user of its own, or
// as root where it marks its connections.
func startTransparent(t *testing.T, exclude, caFile string) (tap *runningTap, caDir string) {
	t.Helper()
	caDir = filepath.Join(t.TempDir(), "ca")
	command := []string{"netns", "exec", programs}
	mark := "0"
	if strings.HasPrefix(exclude, "--exclude-uid") {
		command = append(command, "setpriv", "--reuid="+tapUser, "--regid="+tapUser, "--clear-groups")
		require.NoError(t, os.Mkdir(caDir, 0o700))
		require.NoError(t, os.Chown(caDir, 65532, 65532))
		for dir := filepath.Dir(caDir); dir != "/"; dir = filepath.Dir(dir) {
			os.Chmod(dir, 0o755)
		}
		os.Chmod(filepath.Dir(binary), 0o755)
	} else {
		_, mark, _ = strings.Cut(exclude, "=")
	}
	command = append(command, binary, "run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:18180",
		"--transparent.listen-address=127.0.0.1:18183", "--transparent.listen-address=[::1]:18183", "--upstream.mark="+mark,
		"--intercept", "--intercept.ca-dir="+caDir, "--upstream.ca-file="+caFile)
	tap = &runningTap{process: start(t, nil, "ip", command...), admin: "127.0.0.1:18180"}
	tap.wait("ksyun-tap started")
	return tap, caDir
}
