package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

func TestLookup(t *testing.T) {
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{testCredential}}))
	defer api.Close()
	proxy, admin := startTap(t, api.Listener.Addr().String())
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+apiHost+"/?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	id := res.Header.Get("X-Ksc-Request-Id")
	waitReady(t, "http://"+admin+"/api/v1/failures/"+id) // the journal is filled shortly after the answer

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
	if code, out, errOut := command(t, "", "lookup", own, "--url=http://"+admin); code != exitOK || !strings.Contains(out, id) {
		t.Errorf("by its own ID %q: exit %d: %s%s", own, code, out, errOut)
	}
	if code, _, errOut := command(t, "", "lookup", "none", "--url=http://"+admin); code != exitFailed || !strings.Contains(errOut, "--journal.size") {
		t.Errorf("unknown ID: exit %d: %s", code, errOut)
	}
	if code, _, errOut := command(t, "", "lookup", "a b", "--url=http://"+admin); code != exitFailed || strings.Count(errOut, "\n") != 1 {
		t.Errorf("no ID: exit %d: %s", code, errOut)
	}
	t.Setenv("KSYUN_TAP_WEB_LISTEN_ADDRESS", admin)
	if code, out, errOut := command(t, "", "lookup", id); code != exitOK || !strings.Contains(out, id) {
		t.Errorf("by environment: exit %d: %s%s", code, out, errOut)
	}
	if code, _, errOut := command(t, "", "lookup", id, "--url="+api.URL); code != exitFailed || !strings.Contains(errOut, "does not respond like a tap") {
		t.Errorf("no tap: exit %d: %s", code, errOut)
	}
}
