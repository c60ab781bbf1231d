//go:build e2e

package e2e

import (
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

// buildSDKv1 builds the program on the Go SDK v1. It is a module of its own,
// so that the SDK is no dependency of the tap's.
func buildSDKv1(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sdkv1")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = "testdata/sdkv1"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "build\n%s", out)
	return program
}

// TestSDKTelemetry runs the Go SDK v1 with nothing but its own variables set:
// no proxy, no CA.
func TestSDKTelemetry(t *testing.T) {
	t.Parallel()
	program := buildSDKv1(t)
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	address := freeport.UDP(t)
	tap := startTap(t, nil, "--csm.listen-address="+address, "--log.access")
	_, port, _ := net.SplitHostPort(address)
	client := start(t, []string{"AWS_CSM_ENABLED=true", "AWS_CSM_HOST=127.0.0.1", "AWS_CSM_PORT=" + port, "HTTP_PROXY=", "http_proxy="},
		program, api.URL, good.AccessKey, good.SecretKey)
	client.wait("200")
	client.wait("409")
	line := tap.wait(`"code":"LimitExceeded"`)
	for _, want := range []string{`"source":"csm"`, `"service":"monitor"`, `"action":"ListMetrics"`, `"status":409`, `"category":"throttled"`, `"request_id":"`} {
		assert.Contains(t, line, want, "no %s in %s", want, line)
	}
	assert.NotContains(t, tap.text(), good.AccessKey, "the access key comes out in the log")
	tap.wait(`"outcome":"success"`, `"source":"csm"`)

	// Datagrams that are not records are counted and have no other effect.
	hostile, err := net.Dial("udp", address)
	require.NoError(t, err)
	defer hostile.Close()
	for _, datagram := range []string{"\x00\xff", `{"Version":9,"Type":"ApiCallAttempt"}`, strings.Repeat("[", 60_000)} {
		if _, err := hostile.Write([]byte(datagram)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "hostile datagrams are counted", func() bool {
		_, metrics := get(t, "http://"+tap.admin+"/metrics")
		return strings.Contains(metrics, "\nksyun_tap_csm_rejected_total 3\n")
	})
}

// TestSeenByBothWaysCountedOnce runs the same program with its calls passing the
// proxy, too: the records arrive, and are counted as seen before.
func TestSeenByBothWaysCountedOnce(t *testing.T) {
	t.Parallel()
	program := buildSDKv1(t)
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	telemetry := freeport.UDP(t)
	tap := startTap(t, nil, "--csm.listen-address="+telemetry, "--log.access", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	_, port, _ := net.SplitHostPort(telemetry)
	client := start(t, []string{"HTTP_PROXY=http://" + tap.proxy, "AWS_CSM_ENABLED=true", "AWS_CSM_PORT=" + port},
		program, "http://"+apiHost, good.AccessKey, good.SecretKey)
	client.wait("200")
	client.wait("409")
	var metrics string
	eventually(t, "both calls are reported twice", func() bool {
		_, metrics = get(t, "http://"+tap.admin+"/metrics")
		return strings.Contains(metrics, "\nksyun_tap_csm_duplicates_total 2\n")
	})
	for _, want := range []string{"\nksyun_tap_csm_attempts_total 2\n", "\nksyun_tap_csm_rejected_total 0\n"} {
		assert.Contains(t, metrics, want, "no %q in the metrics", want)
	}
	tap.stop(syscall.SIGTERM)
	if text := tap.text(); strings.Count(text, `"outcome":`) != 2 || strings.Contains(text, `"source":"csm"`) {
		t.Errorf("not two calls, seen by the proxy:\n%s", text)
	}
}
