//go:build e2e

package e2e

import (
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/cloudmonitor"
)

// buildSDKv1 builds the program on the Go SDK v1. It is a module of its own,
// so that the SDK is no dependency of the tap's.
func buildSDKv1(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sdkv1")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = "testdata/sdkv1"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// TestSDKTelemetry runs the Go SDK v1 with nothing but its own variables set:
// no proxy, no CA.
func TestSDKTelemetry(t *testing.T) {
	program := buildSDKv1(t)
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := pc.LocalAddr().String()
	pc.Close()
	tap := startTap(t, nil, "--csm.listen-address="+address, "--log.access")
	_, port, _ := net.SplitHostPort(address)
	client := start(t, []string{"AWS_CSM_ENABLED=true", "AWS_CSM_HOST=127.0.0.1", "AWS_CSM_PORT=" + port, "HTTP_PROXY=", "http_proxy="},
		program, api.URL, good.AccessKey, good.SecretKey)
	client.wait("200")
	client.wait("409")
	line := tap.wait(`"error_code":"LimitExceeded"`)
	for _, want := range []string{`"source":"csm"`, `"service":"monitor"`, `"action":"ListMetrics"`, `"http_status":409`, `"category":"throttled"`, `"request_id":"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if strings.Contains(tap.text(), good.AccessKey) {
		t.Error("the access key comes out in the log")
	}
	tap.wait(`"outcome":"success"`, `"source":"csm"`)
}

// TestSeenByBothWaysCountedOnce runs the same program through exec, where its
// calls pass the proxy and are told of by telemetry.
func TestSeenByBothWaysCountedOnce(t *testing.T) {
	program := buildSDKv1(t)
	address, caFile := tlsAPI(t)
	code, out, s := execTap(t, address, caFile, nil, program, "https://"+apiHost, good.AccessKey, good.SecretKey)
	if code != 0 || !strings.Contains(out, "200\n409\n") {
		t.Errorf("exit code %d, printed:\n%s", code, out)
	}
	if s.Calls != 2 || s.Failed != 1 || len(s.Errors) != 1 || s.Errors[0].Code != "LimitExceeded" {
		t.Errorf("summary %+v", s)
	}
}
