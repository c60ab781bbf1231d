//go:build e2e

package e2e

import (
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestDiagnosis sends requests that are signed wrongly through the real binary,
// and looks for their causes in journal, page, log and metrics.
func TestDiagnosis(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	tap := startTap(t, nil, "--log.access", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())

	scenarios := map[string]cloudmonitor.SigningScenario{}
	for _, s := range cloudmonitor.SigningScenarios() {
		scenarios[s.Name] = s
	}
	causes := map[string]string{}
	for name, want := range map[string]string{
		"authorization dropped": "unsigned", "scope of the day before": "scope_date", "scope of another service": "scope_service",
		"signed field dropped": "field_missing", "signed length, body chunked": "field_missing", "body changed": "payload_hash",
		"parameter encoded twice": "parameter_twice", "simple in base64": "signature_text", "unknown key": "key_unknown",
		"clock behind": "clock_skew", "local time": "clock_zone", "old presigned": "signature_stale",
	} {
		causes[send(t, tap.proxy, scenarios[name].Bytes(good, time.Now()), http.StatusForbidden, http.StatusBadRequest)] = want
	}
	wrong := good
	wrong.SecretKey = "another"
	causes[send(t, tap.proxy, scenarios["plain"].Bytes(wrong, time.Now()), http.StatusForbidden)] = "secret_wrong"

	for id, want := range causes {
		var found struct {
			Data struct {
				Failures []struct {
					Diagnoses []struct {
						Cause    string
						Evidence struct{ En, Zh string }
					}
				}
			}
		}
		eventually(t, "the journal has "+want, func() bool {
			status, _ := get(t, "http://"+tap.admin+"/api/v1/failures/"+id)
			return status == http.StatusOK
		})
		getJSON(t, "http://"+tap.admin+"/api/v1/failures/"+id, &found)
		if e := found.Data.Failures; len(e) != 1 || len(e[0].Diagnoses) == 0 || e[0].Diagnoses[0].Cause != want {
			t.Errorf("%s: %+v", want, found)
			continue
		}
		_, page := get(t, "http://"+tap.admin+"/failures/"+id)
		if d := found.Data.Failures[0].Diagnoses[0]; !strings.Contains(page, "<code>"+want+"</code>") || !strings.Contains(page, d.Evidence.Zh[:3]) {
			t.Errorf("%s is not on the page: %s", want, page)
		}
		tap.wait(id, `"cause":"`+want+`"`)
	}

	// A clock that is off is measured before anything is refused.
	const off = 7 * time.Minute
	skew := regexp.MustCompile(`(?m)^ksyun_api_clock_skew_seconds\{client="127.0.0.1"\} (\S+)$`)
	eventually(t, "the skew is measured", func() bool {
		send(t, tap.proxy, scenarios["plain"].Bytes(good, time.Now().Add(off)), http.StatusOK)
		_, text := get(t, "http://"+tap.admin+"/metrics")
		found := skew.FindStringSubmatch(text)
		if found == nil {
			return false
		}
		seconds, err := strconv.ParseFloat(found[1], 64)
		return err == nil && math.Abs(seconds-off.Seconds()) < 5
	})
	if code := tap.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// send sends a request as it is, on a connection of its own, and returns the
// request ID of the response.
func send(t *testing.T, proxy string, request []byte, statuses ...int) string {
	t.Helper()
	conn := rawconn.Dial(t, proxy)
	defer conn.Close()
	conn.Send(string(request))
	res, body := conn.Response()
	require.Contains(t, statuses, res.StatusCode, "status %d, want %v: %s", res.StatusCode, statuses, body)
	return res.Header.Get("X-Ksc-Request-Id")
}
