package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// TestJournalFile makes a failure, starts the tap again, and finds the failure by its
// IDs, as it was, and in its group.
func TestJournalFile(t *testing.T) {
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{testCredential}}))
	defer api.Close()
	file := "--journal.path=" + filepath.Join(t.TempDir(), "journal.db")

	get := func(t *testing.T, address string) string {
		t.Helper()
		_, body := statusOf(t, http.MethodGet, address)
		return body
	}
	type failures struct {
		Data struct {
			Failures []struct{ ID string }
		}
	}

	var requestID, before string
	t.Run("before", func(t *testing.T) {
		proxy, admin := startTap(t, api.Listener.Addr().String(), file)
		requestID = failCall(t, proxy, admin, nil)
		before = get(t, "http://"+admin+"/api/v1/failures/"+requestID)
		t.Setenv("OTEL_TRACES_EXPORTER", "console") // TestMain checks that its exporter ends
		code, _, errOut := command(t, "", "run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", file)
		if want := "ksyun-tap: " + file + ": another process uses the file\n  hint: give each tap"; code != exitUsage || !strings.HasPrefix(errOut, want) {
			t.Errorf("a second tap: exit %d: %s", code, errOut)
		}
		expectCommand(t, exitOK, "", "check-config", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", file)
	})
	t.Run("after", func(t *testing.T) {
		proxy, admin := startTap(t, api.Listener.Addr().String(), file)
		after := get(t, "http://"+admin+"/api/v1/failures/"+requestID)
		if after != before {
			t.Errorf("the failure was\n%s and is\n%s", before, after)
		}
		expectCommand(t, exitOK, requestID, "lookup", requestID, "--url=http://"+admin)
		if all := get(t, "http://"+admin+"/api/v1/groups"); strings.Count(all, `"count":1,`) != 1 || !strings.Contains(all, requestID) {
			t.Errorf("groups: %s", all)
		}
		failCall(t, proxy, admin, nil)
		var all failures
		if err := json.Unmarshal([]byte(get(t, "http://"+admin+"/api/v1/failures")), &all); err != nil || len(all.Data.Failures) != 2 || all.Data.Failures[0].ID <= all.Data.Failures[1].ID {
			t.Errorf("failures: %+v, %v", all, err)
		}
		if text := get(t, "http://"+admin+"/metrics"); !strings.Contains(text, "\nksyun_tap_journal_file_healthy 1\n") || !strings.Contains(text, "\nksyun_tap_journal_entries 2\n") {
			t.Errorf("metrics: %s", text)
		}
	})
	expectCommand(t, exitUsage, "--journal.path=", "check-config", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", file+"/none/journal.db")
}
