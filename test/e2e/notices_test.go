//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// TestNotices sends calls through the real binary, after which it must report a new
// key, keys that stop working, a key that is used from two regions, and a request that
// is nearly too large: in its log, at /api/v1/notices and as server-sent events.
func TestNotices(t *testing.T) {
	t.Parallel()
	key := func(n int, token string) cloudmonitor.Credential {
		return cloudmonitor.Credential{AccessKey: fmt.Sprintf("AKLTnotices%09d", n), SecretKey: fmt.Sprint("secret", n), Token: token}
	}
	revoked, temporary, travels, large := key(1, ""), key(2, "the-token"), key(3, ""), key(4, "")
	gateway := cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{revoked, temporary, travels, large}})
	api := httptest.NewServer(gateway)
	defer api.Close()
	tap := startTap(t, nil, "--log.level=debug", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	sent := subscribe(t, "http://"+tap.admin+"/api/v1/events")

	call := func(as cloudmonitor.Credential, region, query, body string, status int) {
		t.Helper()
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+apiHost+"/?"+query, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Accept", "application/json")
		cloudmonitor.SignV4(r, []byte(body), as, cloudmonitor.Scope{Region: region, Service: "monitor"}, time.Now())
		var wire bytes.Buffer
		require.NoError(t, r.WriteProxy(&wire))
		send(t, tap.proxy, wire.Bytes(), status)
	}
	const beijing, metrics = "cn-beijing-6", "Action=ListMetrics&Version=2010-05-25&Namespace=KEC"
	for _, as := range []cloudmonitor.Credential{revoked, temporary, travels, large} {
		call(as, beijing, metrics, "", http.StatusOK)
	}
	call(travels, "cn-shanghai-2", metrics, "", http.StatusOK)

	gateway.Revoke(revoked.AccessKey)
	expired := temporary
	expired.TokenExpired = true
	gateway.SetCredential(expired)
	for range 3 {
		call(revoked, beijing, metrics, "", http.StatusForbidden)
		call(temporary, beijing, metrics, "", http.StatusBadRequest)
	}

	end := time.Now().Add(-time.Hour).UTC()
	batch := func(n int) string {
		item := `{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"}`
		return fmt.Sprintf(`{"Namespace":"KEC","Period":60,"StartTime":%q,"EndTime":%q,"Metrics":[%s]}`,
			end.Add(-10*time.Minute).Format(time.RFC3339), end.Format(time.RFC3339), strings.Repeat(item+",", n-1)+item)
	}
	const batches = "Action=GetMetricStatisticsBatch&Version=2018-11-14"
	call(large, beijing, batches, batch(180), http.StatusOK)
	call(large, beijing, batches, batch(240), http.StatusBadRequest)

	wanted := []string{"key_first_seen", "key_revoked", "key_expired", "key_new_region", "size_near"}
	var notices struct {
		Data struct {
			Notices []struct {
				Cause, Credential, Severity, Region string
				Evidence                            struct{ En, Zh string }
				Advice                              struct{ Do struct{ En, Zh string } }
			}
		}
	}
	eventually(t, "all is noticed", func() bool {
		getJSON(t, "http://"+tap.admin+"/api/v1/notices", &notices)
		return len(notices.Data.Notices) >= 9
	})
	found := map[string]int{}
	credentials := map[string]string{}
	for _, n := range notices.Data.Notices {
		found[n.Cause]++
		credentials[n.Cause] = n.Credential
		if n.Credential == "" || n.Evidence.En == "" || n.Evidence.Zh == "" || n.Advice.Do.En == "" || n.Advice.Do.Zh == "" {
			t.Errorf("a notice without its texts or key: %+v", n)
		}
		if n.Cause == "size_near" && (n.Severity != "warn" || !strings.Contains(n.Evidence.En, "metrics 180/200 (90%), records 1800/6000 (30%)")) {
			t.Errorf("of the batch: %+v", n)
		}
	}
	for cause, n := range map[string]int{"key_first_seen": 4, "key_revoked": 1, "key_expired": 1, "key_new_region": 1, "size_near": 1, "retry_wasted": 1} {
		if found[cause] != n {
			t.Errorf("%d notices of %s, want %d", found[cause], cause, n)
		}
	}
	assert.Len(t, notices.Data.Notices, 9, "notices")
	assert.NotEqual(t, credentials["key_expired"], credentials["key_revoked"], "notices")
	for _, cause := range wanted {
		tap.wait(`"event":"ksyun.api.notice"`, `"cause":"`+cause+`"`, `"credential":"`+credentials[cause]+`"`)
		eventually(t, "the stream has "+cause, func() bool { return sent.has("notice", cause) })
	}

	// The failure of the larger batch names the numbers.
	var failures struct {
		Data struct {
			Failures []struct {
				Diagnoses []struct {
					Cause, Certainty string
					Evidence         struct{ En string }
				}
			}
		}
	}
	eventually(t, "the failed batch is in the journal", func() bool {
		getJSON(t, "http://"+tap.admin+"/api/v1/failures?action=GetMetricStatisticsBatch", &failures)
		return len(failures.Data.Failures) == 1
	})
	if d := failures.Data.Failures[0].Diagnoses; len(d) == 0 || d[0].Cause != "size_exceeded" || d[0].Certainty != "certain" || !strings.Contains(d[0].Evidence.En, "metrics 240/200 (120%)") {
		t.Errorf("diagnosed %+v", d)
	}

	_, text := get(t, "http://"+tap.admin+"/metrics")
	for _, line := range []string{
		`ksyun_api_credential_refused{credential="` + credentials["key_revoked"] + `",reason="key"} 1`,
		`ksyun_api_credential_refused{credential="` + credentials["key_expired"] + `",reason="token"} 1`,
		`ksyun_api_request_size_used_ratio{action="GetMetricStatisticsBatch",credential="` + credentials["size_near"] + `",limit="metrics",version="2018-11-14"} 1.2`,
	} {
		assert.Contains(t, text, line, "not in /metrics")
	}
	for _, secret := range []string{revoked.AccessKey, temporary.AccessKey, temporary.Token} {
		if strings.Contains(text, secret) || strings.Contains(jsonText(notices), secret) || sent.has("notice", secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	if code := tap.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// eventStream is what a client of server-sent events received.
type eventStream struct {
	mu   sync.Mutex
	data map[string][]string // by event
}

// subscribe asks for events until the test ends.
func subscribe(t *testing.T, url string) *eventStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	s, done := &eventStream{data: map[string][]string{}}, make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // once it has begun, nothing is missed
	go func() {
		defer close(done)
		defer res.Body.Close()
		name := ""
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				name = value
			case "data":
				s.mu.Lock()
				s.data[name] = append(s.data[name], value)
				s.mu.Unlock()
			}
		}
	}()
	return s
}

// has reports whether the data of an event of that name contain the text.
func (s *eventStream) has(name, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, data := range s.data[name] {
		if json.Valid([]byte(data)) && strings.Contains(data, text) {
			return true
		}
	}
	return false
}
