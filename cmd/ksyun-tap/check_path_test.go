package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestCheckPath breaks the path to the API at one stage after the other, and checks that
// the stage and the hint are reported.
func TestCheckPath(t *testing.T) {
	gateway := cloudmonitor.New(cloudmonitor.Config{})
	api := httptest.NewServer(gateway)
	defer api.Close()
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"requestId":"x"}`)) }))
	defer stranger.Close()
	deaf := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer deaf.Close()

	check := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, out, errOut := command(t, "", append([]string{"check-path", "--timeout=3s"}, args...)...)
		if code != wantCode || !strings.Contains(out+errOut, want) {
			t.Errorf("%v: exit %d\n%s%s; want %d and %q", args, code, out, errOut, wantCode, want)
		}
	}
	fails := func(stage, hint string, args ...string) {
		t.Helper()
		code, out, errOut := command(t, "", append([]string{"check-path", "--timeout=3s"}, args...)...)
		if code != exitFailed || !strings.Contains(errOut, " failed at "+stage+": ") || !strings.Contains(errOut, hint) {
			t.Errorf("%v: exit %d\n%s%s; want a failure of %s and %q", args, code, out, errOut, stage, hint)
		}
	}
	through := func(proxy, admin string, more ...string) []string {
		return append([]string{"--proxy=http://" + proxy, "--url=http://" + admin}, more...)
	}

	proxy, admin := startTap(t, api.Listener.Addr().String())
	check(exitOK, "the API requires a signature (MissingAuthenticationToken", through(proxy, admin)...)
	t.Setenv("KSYUN_TAP_PROXY_LISTEN_ADDRESS", proxy)
	t.Setenv("KSYUN_TAP_WEB_LISTEN_ADDRESS", admin)
	check(exitOK, "the API requires a signature (MissingAuthenticationToken")
	fails("the tap's proxy", "set its --proxy.listen-address with --proxy", through(rawconn.Nowhere, admin)...)
	fails("observation of the call", "--web.listen-address with --url", through(proxy, rawconn.Nowhere)...)
	fails("interception", "Start the tap with --intercept", through(proxy, admin, "--target=https://"+apiHost)...)
	fails("the path from the tap to the API", "--tap.host", through(proxy, admin, "--target=http://other.example")...)
	check(exitUsage, "--target", "--target=monitor.api.ksyun.com")
	check(exitUsage, "--ca-file", "--ca-file=none.pem")

	proxy, admin = startTap(t, stranger.Listener.Addr().String())
	fails("the API's response", "the value of --upstream.connect-to", through(proxy, admin)...)
	proxy, admin = startTap(t, rawconn.Nowhere)
	fails("the path from the tap to the API", "connection_refused", through(proxy, admin)...)
	proxy, admin = startTap(t, deaf.Listener.Addr().String())
	fails("the path from the tap to the API", "see the tap's log", through(proxy, admin)...)
	proxy, admin = startTap(t, rawconn.Nowhere, "--upstream.resolver="+ignorantDNS(t))
	fails("resolving the API's host", "Check the host's spelling, and DNS", through(proxy, admin, "--target=http://eip.api.ksyun.com")...)

	caDir, trustDir := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "trust")
	secure := httptest.NewTLSServer(gateway)
	defer secure.Close()
	proxy, admin = startTap(t, rawconn.Nowhere, "--intercept", "--intercept.ca-dir="+caDir, "--intercept.publish-dir="+trustDir,
		"--upstream.connect-to="+apiHost+":443="+secure.Listener.Addr().String())
	https := "--target=https://" + apiHost
	fails("trust in the tap's CA", "SSL_CERT_FILE", through(proxy, admin, https)...)
	// The simulator's certificate is for another name: the tap must not accept it.
	fails("TLS between the tap and the API", "with --upstream.ca-file", through(proxy, admin, https, "--ca-file="+filepath.Join(trustDir, "bundle.pem"))...)
}

// TestCheckPathTimerReadsTrustAgain has what programs trust change under a tap
// that checks its path, as it does when its CA rotates.
func TestCheckPathTimerReadsTrustAgain(t *testing.T) {
	secure := httptest.NewUnstartedServer(cloudmonitor.New(cloudmonitor.Config{}))
	cert, certPEM := selfsigned.Certificate(apiHost)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.StartTLS()
	defer secure.Close()
	dir := t.TempDir()
	vendorCA, caFile := filepath.Join(dir, "vendor.pem"), filepath.Join(dir, "ca", "ca.pem")
	write := func(name string, data []byte) {
		t.Helper()
		testfile.Write(t, name, data, 0o644)
	}
	write(vendorCA, certPEM)
	_, admin := startTap(t, rawconn.Nowhere, "--intercept", "--intercept.ca-dir="+filepath.Dir(caFile), "--upstream.ca-file="+vendorCA,
		"--upstream.connect-to="+apiHost+":443="+secure.Listener.Addr().String(),
		"--check-path.interval=20ms", "--check-path.target=https://"+apiHost)
	awaitMetrics(t, admin, "ksyun_tap_path_check_success 1\n")
	trusted := testfile.Read(t, caFile)
	write(caFile, certPEM)
	awaitMetrics(t, admin, "ksyun_tap_path_check_success 0\n", `ksyun_tap_path_check_failed{stage="trust"} 1`)
	write(caFile, trusted)
	awaitMetrics(t, admin, "ksyun_tap_path_check_success 1\n")
}

// awaitMetrics asks a tap until each of these begins a line of its metrics.
func awaitMetrics(t *testing.T, admin string, lines ...string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	scrape := func() string {
		res, err := client.Get("http://" + admin + "/metrics")
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(text)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(10 * time.Second); ; {
		text := scrape()
		if !slices.ContainsFunc(lines, func(line string) bool { return !strings.Contains(text, "\n"+line) }) {
			return text
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never %q in\n%s", lines, text)
		}
	}
}

// ignorantDNS is a DNS server that knows no name.
func ignorantDNS(t *testing.T) string {
	t.Helper()
	return upstreamtest.ServeDNS(t, func(query []byte, _ bool) [][]byte {
		return [][]byte{upstreamtest.Reply(t, query, dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, false)}
	})
}

// TestCheckPathTimer breaks and repairs the path of a tap that checks it periodically.
// The checks appear in their own metrics only.
func TestCheckPathTimer(t *testing.T) {
	var broken atomic.Bool
	gateway := cloudmonitor.New(cloudmonitor.Config{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			_, _ = w.Write([]byte("hello"))
			return
		}
		gateway.ServeHTTP(w, r)
	}))
	defer api.Close()
	_, admin := startTap(t, api.Listener.Addr().String(), "--check-path.interval=20ms")
	await := func(lines ...string) string {
		t.Helper()
		return awaitMetrics(t, admin, lines...)
	}
	await("ksyun_tap_path_check_success 1\n", `ksyun_tap_path_check_failed{stage="response"} 0`, "ksyun_tap_path_check_last_success_timestamp_seconds 1", "ksyun_tap_path_check_duration_seconds ")
	broken.Store(true)
	await("ksyun_tap_path_check_success 0\n", `ksyun_tap_path_check_failed{stage="response"} 1`, `ksyun_tap_path_check_failed{stage="dns"} 0`)
	broken.Store(false)
	text := await("ksyun_tap_path_check_success 1\n")
	for _, own := range []string{"\nksyun_api_requests_total{", "\nksyun_api_errors_total{", "\nksyun_tap_journal_entries 1"} {
		if strings.Contains(text, own) {
			t.Errorf("a check is counted as a call: %s", own)
		}
	}
}
