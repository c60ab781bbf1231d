package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// failingTap is a tap with functions that make failing calls through it.
type failingTap struct {
	url          string // of its web listener
	proxy, admin string
}

func startFailingTap(t *testing.T) *failingTap {
	t.Helper()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{testCredential}}))
	t.Cleanup(api.Close)
	proxy, admin := startTap(t, api.Listener.Addr().String())
	return &failingTap{"http://" + admin, proxy, admin}
}

// call makes a call that fails as d says, waits until the tap lists it, and returns
// its request ID.
func (f *failingTap) call(t *testing.T, d cloudmonitor.Directive) string {
	t.Helper()
	return failCall(t, f.proxy, f.admin, func(req *http.Request) {
		cloudmonitor.SignV4(req, nil, testCredential, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now())
		req.Header.Set(cloudmonitor.DirectiveField, d.String())
	})
}

func TestFailures(t *testing.T) {
	tap := startFailingTap(t)
	list := func(args ...string) (int, string, string) {
		t.Helper()
		return command(t, "", append([]string{"failures", "--url=" + tap.url}, args...)...)
	}
	if code, out, errOut := list(); code != exitNone || out != "" || errOut != "no failures\n" {
		t.Errorf("none: exit %d: %q, %q", code, out, errOut)
	}
	throttled := tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	other := tap.call(t, cloudmonitor.Directive{Error: "BrandNewError", Status: 418})

	f := func(want, not string, args ...string) {
		t.Helper()
		code, out, errOut := list(args...)
		if code != exitOK || !strings.Contains(out, want) || not != "" && strings.Contains(out, not) {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errOut)
		}
	}
	f(throttled, "")
	f(other, "", "--limit=1")
	f(throttled, other, "--category=throttled")
	f(other, throttled, "--code=brandnewerror", "--since=1h")
	f(throttled, other, "--blame=quota", "--action=ListMetrics")
	f("2      ", "BrandNewError", "--groups", "--category=throttled", "--since=1h")
	if code, _, errOut := list("--limit=1"); code != exitOK || errOut != "1 failure; there are more, see --limit\n" {
		t.Errorf("exit %d: %s", code, errOut)
	}
	if code, out, _ := list("--code=AccessDenied"); code != exitNone || out != "" {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, args := range [][]string{{"--output=json"}, {"--output=json", "--groups"}} {
		code, out, _ := list(args...)
		n := 0
		for line := range strings.Lines(out) {
			n++
			var object struct{ ID, Code string }
			if err := json.Unmarshal([]byte(line), &object); err != nil || object.ID == "" || object.Code == "" {
				t.Errorf("%v: %v in %s", args, err, line)
			}
		}
		if want := 4 - len(args); code != exitOK || n != want {
			t.Errorf("%v: exit %d, %d lines, want %d", args, code, n, want)
		}
	}
}

func TestFailuresErrors(t *testing.T) {
	alien := httptest.NewServer(http.NotFoundHandler())
	defer alien.Close()
	f := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errOut := command(t, "", append([]string{"failures"}, args...)...)
		if got != code || out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%v: exit %d: %s%s", args, got, out, errOut)
		}
	}
	f(exitNoResponse, "does not respond like a tap", "--url="+alien.URL)
	f(exitNoResponse, "does not respond like a tap", "--url="+alien.URL, "--groups")
	f(exitNoResponse, "--web.listen-address", "--url=http://"+rawconn.Nowhere)
	f(exitUsage, "throttled", "--category=throtled")
	f(exitUsage, "1 to 1000", "--limit=0")
	f(exitUsage, "--since", "--since=-1s")
	f(exitUsage, "cannot be combined", "--groups", "--follow")
}

// TestFailuresFollow checks that following prints the failures that are known, then
// new ones, until it is interrupted.
func TestFailuresFollow(t *testing.T) {
	tap := startFailingTap(t)
	first := tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"failures", "--follow", "--category=throttled", "--url=" + tap.url}, strings.NewReader(""), w, io.Discard)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	wait := func(id string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), id) {
				return
			}
		}
		t.Fatalf("it ended before %s", id)
	}
	wait(first)
	tap.call(t, cloudmonitor.Directive{Error: "BrandNewError"})
	second := tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	wait(second)
	interrupt()
	for lines.Scan() {
		if strings.Contains(lines.Text(), "BrandNewError") {
			t.Errorf("not filtered: %s", lines.Text())
		}
	}
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}
