package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/internal/cloudmonitor"
)

// TestCheckPath breaks the way to the API in one place after the other and
// checks that the place and its mend are told.
func TestCheckPath(t *testing.T) {
	gateway := cloudmonitor.New(cloudmonitor.Config{})
	api := httptest.NewServer(gateway)
	defer api.Close()
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"requestId":"x"}`)) }))
	defer stranger.Close()
	deaf := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer deaf.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()

	check := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, out, errOut := command(t, "", append([]string{"check-path", "--timeout=3s"}, args...)...)
		if code != wantCode || !strings.Contains(out+errOut, want) {
			t.Errorf("%v: exit %d\n%s%s; want %d and %q", args, code, out, errOut, wantCode, want)
		}
	}
	through := func(proxy, admin string, more ...string) []string {
		return append([]string{"--proxy=http://" + proxy, "--url=http://" + admin}, more...)
	}

	proxy, admin := startTap(t, api.Listener.Addr().String())
	check(exitOK, "the API asks for a signature (MissingAuthenticationToken", through(proxy, admin)...)
	check(exitFailed, "the tap's proxy fails", through(dead, admin)...)
	check(exitFailed, "the tap's view of the call fails", through(proxy, dead)...)
	check(exitFailed, "interception fails", through(proxy, admin, "--target=https://"+apiHost)...)
	check(exitFailed, "--tap.host", through(proxy, admin, "--target=http://other.example")...)
	check(exitUsage, "--target", "--target=monitor.api.ksyun.com")
	check(exitUsage, "--ca-file", "--ca-file=none.pem")

	proxy, admin = startTap(t, stranger.Listener.Addr().String())
	check(exitFailed, "the API's answer fails", through(proxy, admin)...)
	proxy, admin = startTap(t, dead)
	check(exitFailed, "connection_refused", through(proxy, admin)...)
	proxy, admin = startTap(t, deaf.Listener.Addr().String())
	check(exitFailed, "the way from the tap to the API fails", through(proxy, admin)...)

	caDir := filepath.Join(t.TempDir(), "ca")
	secure := httptest.NewTLSServer(gateway)
	defer secure.Close()
	proxy, admin = startTap(t, dead, "--intercept", "--intercept.ca-dir="+caDir,
		"--upstream.connect-to="+apiHost+":443="+secure.Listener.Addr().String())
	https := "--target=https://" + apiHost
	check(exitFailed, "trust in the tap's CA fails", through(proxy, admin, https)...)
	// The simulator's certificate is for another name: the tap must not accept it.
	check(exitFailed, "tls", through(proxy, admin, https, "--ca-file="+filepath.Join(caDir, "bundle.pem"))...)
}

// TestCheckPathTimer breaks the way of a tap that checks it by itself, and mends
// it. The checks are told in their own metrics and nowhere else.
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
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	scrape := func() string {
		res, err := client.Get("http://" + admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	await := func(lines ...string) string {
		t.Helper()
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
	await("ksyun_tap_path_check_success 1\n", `ksyun_tap_path_check_failed{stage="answer"} 0`, "ksyun_tap_path_check_last_success_timestamp_seconds 1", "ksyun_tap_path_check_duration_seconds ")
	broken.Store(true)
	await("ksyun_tap_path_check_success 0\n", `ksyun_tap_path_check_failed{stage="answer"} 1`, `ksyun_tap_path_check_failed{stage="dns"} 0`)
	broken.Store(false)
	text := await("ksyun_tap_path_check_success 1\n")
	for _, own := range []string{"\nksyun_api_requests_total{", "\nksyun_api_errors_total{", "\nksyun_tap_journal_entries 1"} {
		if strings.Contains(text, own) {
			t.Errorf("a check is counted as a call: %s", own)
		}
	}
}
