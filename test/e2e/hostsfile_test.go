//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestHostsFile has a hosts file lead the API's name to the tap, on the ports 80
// and 443: clients are set up with nothing else, and the tap asks a DNS server
// past that file. Without one, calls end as a loop, with what to do.
func TestHostsFile(t *testing.T) {
	t.Parallel()
	connectHosts(t)
	caFile := serve(t)
	serveDNS(t, "10.77.0.2:53", serverAddresses["v4"][0])
	// What ip netns exec shows as /etc/hosts.
	etc := filepath.Join("/etc/netns", programs)
	require.NoError(t, os.MkdirAll(etc, 0o755))
	t.Cleanup(func() { os.RemoveAll(etc) })
	testfile.Write(t, filepath.Join(etc, "hosts"), "127.0.0.1 localhost "+apiHost+"\n", 0o644)
	caDir := filepath.Join(t.TempDir(), "ca")
	run := func(args ...string) *runningTap {
		command := append([]string{
			"netns", "exec", programs, binary, "run", "--web.listen-address=127.0.0.1:18180",
			"--proxy.listen-address=127.0.0.1:80", "--proxy.tls-listen-address=127.0.0.1:443",
			"--intercept", "--intercept.ca-dir=" + caDir, "--upstream.ca-file=" + caFile,
		}, args...)
		tap := &runningTap{process: start(t, nil, "ip", command...), admin: "127.0.0.1:18180"}
		tap.wait("ksyun-tap started")
		return tap
	}
	call := func(scheme, field string) string {
		t.Helper()
		return within(t, programs, "env", "CURL_CA_BUNDLE="+filepath.Join(caDir, "bundle.pem"),
			"curl", "-sS", "-w", " %{http_code}", "--aws-sigv4", "aws:amz:cn-beijing-6:monitor", "-u", good.AccessKey+":"+good.SecretKey,
			"-H", "Accept: application/json", "-H", field, scheme+"://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25")
	}

	tap := run("--upstream.resolver=10.77.0.2")
	for _, scheme := range []string{"http", "https"} {
		out := call(scheme, "X-None: 1")
		assert.True(t, strings.HasSuffix(out, " 200"), "%s: %s", scheme, out)
		if out := call(scheme, "X-Simulate: error=LimitExceeded"); !strings.HasSuffix(out, " 409") {
			t.Errorf("%s: %s", scheme, out)
		}
	}
	all := failures(t, tap)
	if len(all) != 2 || all[0].Source != "reverse" || len(all[0].RequestID) != 36 {
		t.Errorf("failures %+v", all)
	}
	tap.stop(unix.SIGTERM)

	run()
	for _, scheme := range []string{"http", "https"} {
		out := call(scheme, "X-None: 1")
		if !strings.HasSuffix(out, " 403") || !strings.Contains(out, `"Code":"TapLoop"`) || !strings.Contains(out, "--upstream.resolver=IP") {
			t.Errorf("%s, a loop: %s", scheme, out)
		}
	}
}

// serveDNS answers every question for an A record with one address.
func serveDNS(t *testing.T, at, address string) {
	t.Helper()
	var pc net.PacketConn
	on(t, servers, func() (err error) {
		pc, err = net.ListenPacket("udp", at)
		return err
	})
	t.Cleanup(func() { pc.Close() })
	go upstreamtest.ServeUDP(pc, upstreamtest.Addresses(t, address))
}
