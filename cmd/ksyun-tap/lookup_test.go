package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestLookup(t *testing.T) {
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{testCredential}}))
	defer api.Close()
	proxy, admin := startTap(t, api.Listener.Addr().String())
	id := failCall(t, proxy, admin, nil)

	code, out, errOut := command(t, "", "lookup", id, "--url=http://"+admin)
	for _, want := range []string{id, "MissingAuthenticationToken", "ListMetrics", "Do  "} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, errOut)
		}
	}
	code, out, _ = command(t, "", "lookup", id, "--url=http://"+admin, "--output=json")
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil || r["request_id"] != id || r["status"] != 403.0 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	own, _ := r["id"].(string)
	expectCommand(t, exitOK, id, "lookup", own, "--url=http://"+admin)
	expectCommand(t, exitNone, "--journal.size", "lookup", "none", "--url=http://"+admin)
	expectCommand(t, exitUsage, "printable ASCII", "lookup", "a b", "--url=http://"+admin)
	t.Setenv("KSYUN_TAP_WEB_LISTEN_ADDRESS", admin)
	expectCommand(t, exitOK, id, "lookup", id)
	expectCommand(t, exitNoResponse, "no response from "+api.URL+": HTTP status 403 Forbidden", "lookup", id, "--url="+api.URL)
}

// TestLookupTickets checks that tickets are printed in both languages.
func TestLookupTickets(t *testing.T) {
	tap := startFailingTap(t)
	id := tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	for language, want := range map[string]string{"en": "Request ID: " + id, "zh": "请求 ID: " + id} {
		code, out, errOut := command(t, "", "lookup", id, "--ticket="+language, "--url="+tap.url, "--url="+tap.url)
		if code != exitOK || strings.Count(out, want) != 1 {
			t.Errorf("%s: exit %d: %s%s", language, code, out, errOut)
		}
	}
	expectCommand(t, exitNone, "", "lookup", "none", "--ticket=en", "--url="+tap.url)
	expectCommand(t, exitUsage, "", "lookup", id, "--ticket=en", "--output=json")
}

// TestLookupInSeveralTaps checks that all taps are queried, and that those that do not
// answer are reported on one line each.
func TestLookupInSeveralTaps(t *testing.T) {
	tap, other := startFailingTap(t), startFailingTap(t)
	id := tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	const down = "--url=http://" + rawconn.Nowhere
	f := func(want, complaints int, id string, urls ...string) {
		t.Helper()
		code, out, errOut := command(t, "", append([]string{"lookup", id}, urls...)...)
		if code != want || strings.Count(errOut, "no response from http://"+rawconn.Nowhere+": ") != complaints || (code == exitOK) != strings.Contains(out, "From "+tap.url+":\nID ") {
			t.Errorf("%v: exit %d, want %d: %s%s", urls, code, want, out, errOut)
		}
	}
	f(exitOK, 0, id, "--url="+other.url, "--url="+tap.url)
	f(exitOK, 1, id, down, "--url="+tap.url)
	f(exitNone, 0, "none", "--url="+other.url, "--url="+tap.url)
	f(exitNoResponse, 1, "none", down, "--url="+tap.url) // it may be in the one that does not answer
	f(exitNoResponse, 2, id, down, down)
}

// TestLookupInFleet checks a look-up in all taps behind a name and in a backend: each
// attempt is printed once with all places where it was found, and the local tap need
// not run.
func TestLookupInFleet(t *testing.T) {
	clearEnvironment(t)
	tap := startFailingTap(t)
	id := tap.call(t, cloudmonitor.Directive{Error: "LimitExceeded"})
	_, line, _ := command(t, "", "lookup", id, "--url="+tap.url, "--output=json")
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &r))
	stored, err := json.Marshal(map[string]any{"_time": r["ts"], "id": r["id"], "request_id": id, "outcome": "error", "category": "throttled", "code": "LimitExceeded", "message": "\x1b[2Jhostile\u202e"})
	require.NoError(t, err)
	status := http.StatusOK
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if strings.Contains(r.FormValue("query"), id) {
			_, _ = w.Write(stored)
		}
	}))
	defer backend.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(tap.url, "http://"), ":")
	fleet := []string{"--lookup.dns=localhost:" + port, "--lookup.victorialogs=" + backend.URL}

	code, out, errOut := command(t, "", append([]string{"lookup", id, "--url=" + tap.url}, fleet...)...)
	if code != exitOK || strings.Count(out, "Request ID") != 1 || !strings.Contains(out, "From "+tap.url+", VictoriaLogs "+backend.URL+":\n") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	code, out, errOut = command(t, "", append([]string{"lookup", id, "--output=json", "--url=" + tap.url}, fleet...)...)
	var found struct {
		FoundIn []string `json:"found_in"`
		Status  int
	}
	if err := json.Unmarshal([]byte(out), &found); code != exitOK || err != nil || len(found.FoundIn) != 2 || found.Status != 409 {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	// Only in the backend, whose text is not safe to print.
	code, out, errOut = command(t, "", "lookup", id, "--lookup.victorialogs="+backend.URL)
	if code != exitOK || strings.ContainsAny(out, "\x1b\u202e") || !strings.Contains(out, `\u001b[2Jhostile\u202e`) || !strings.Contains(out, "限流") {
		t.Errorf("exit %d: %q%s", code, out, errOut)
	}
	// Whether the local tap runs, which is asked by default, makes no difference.
	code, _, errOut = command(t, "", "lookup", "none", "--lookup.victorialogs="+backend.URL)
	if code != exitNone {
		t.Errorf("not found: exit %d: %s", code, errOut)
	}
	status = http.StatusServiceUnavailable
	code, _, errOut = command(t, "", "lookup", id, "--url="+tap.url, "--lookup.victorialogs="+backend.URL)
	if code != exitOK || strings.Count(errOut, "no response from VictoriaLogs "+backend.URL+": HTTP status 503") != 1 {
		t.Errorf("backend down: exit %d: %s", code, errOut)
	}
}
