//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// The key that programs sign with for the tap alone.
var localKey = cloudmonitor.Credential{AccessKey: "AKlocalonly", SecretKey: "secret-of-programs"}

// TestResign runs clients that are given another endpoint and a key that
// the API does not know: each makes a call that succeeds, re-signed and
// verified at the far end, and one that fails, which is found by its request ID.
func TestResign(t *testing.T) {
	t.Parallel()
	address, caFile := tlsAPI(t)
	tap, own := startResign(t, keyFile(t, good), "--resign.client-key-file="+keyFile(t, localKey),
		"--upstream.ca-file="+caFile, "--upstream.connect-to="+apiHost+":443="+address)
	endpoint := "http://" + own
	curl := `for field in X-None:1 X-Simulate:error=LimitExceeded; do
	  curl -sS -o /dev/null -w '%{http_code}\n' --aws-sigv4 aws:amz:cn-beijing-6:monitor -u "$1:$2" \
	    -H 'Accept: application/json' -H "$field" "$0/?Action=ListMetrics&Version=2010-05-25"
	done`
	f := func(name, dir, command string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, command, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "200\n409\n" {
			t.Errorf("%s: %v, printed:\n%s", name, err, out)
		}
	}
	f("curl", "", "sh", "-c", curl, endpoint, localKey.AccessKey, localKey.SecretKey)
	f("Node fetch", "", "node", "testdata/endpoint.mjs", endpoint, localKey.AccessKey, localKey.SecretKey)
	f("Go SDK v1", "testdata/sdkv1", "go", "run", ".", endpoint, localKey.AccessKey, localKey.SecretKey)

	var list struct {
		Data struct {
			Failures []struct {
				Code      string `json:"code"`
				RequestID string `json:"request_id"`
			}
		}
	}
	eventually(t, "three failures", func() bool {
		getJSON(t, "http://"+tap.admin+"/api/v1/failures", &list)
		return len(list.Data.Failures) == 3
	})
	for _, e := range list.Data.Failures {
		if e.Code != "LimitExceeded" || len(e.RequestID) != 36 {
			t.Errorf("failure %+v", e)
		}
	}

	// A key that was guessed gets nowhere.
	out, err := exec.Command("sh", "-c", curl, endpoint, localKey.AccessKey, "guessed").CombinedOutput()
	require.NoError(t, err, "a guessed key")
	assert.Equal(t, "403\n403\n", string(out), "a guessed key")
	_, text := get(t, "http://"+tap.admin+"/metrics")
	assert.Contains(t, text, `ksyun_tap_proxy_errors_total{reason="signature"} 2`, "refused signatures are not counted")
	_, page := get(t, "http://"+tap.admin+"/")
	for _, secret := range []string{localKey.AccessKey, localKey.SecretKey, good.AccessKey, good.SecretKey} {
		if strings.Contains(tap.text()+text+page, `"`+secret+`"`) || strings.Contains(tap.text()+text+page, secret+"/") {
			t.Errorf("%s came out", secret)
		}
	}
}

// TestResignRotates changes the credentials under load: no call fails, and
// soon all are signed with the new ones.
func TestResignRotates(t *testing.T) {
	t.Parallel()
	next := cloudmonitor.Credential{AccessKey: "AKLTnext", SecretKey: "s9", Token: "a-token"}
	sim := cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good, next}})
	var withNext atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), next.AccessKey+"/") {
			withNext.Add(1)
		}
		sim.ServeHTTP(w, r)
	}))
	defer api.Close()
	file := keyFile(t, good)
	tap, own := startResign(t, file, "--resign.upstream=http://"+apiHost, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 4)
	var bad atomic.Int64
	for range cap(done) {
		go func() {
			n := 0
			for ; ctx.Err() == nil; n++ {
				res, err := http.Get("http://" + own + "/?Action=ListMetrics&Version=2010-05-25")
				if err != nil || res.StatusCode != http.StatusOK {
					bad.Add(1)
				}
				if err == nil {
					res.Body.Close()
				}
			}
			done <- n
		}()
	}
	testfile.Write(t, file, "access_key: AKLTn", 0o600)
	status, _ := reload(t, tap.admin)
	assert.NotEqual(t, http.StatusOK, status, "half a file was taken")
	assert.Zero(t, withNext.Load(), "half a key was used")
	writeKeys(t, file, next)
	if status, _ := reload(t, tap.admin); status != http.StatusOK {
		t.Errorf("reload: status %d", status)
	}
	before := withNext.Load()
	eventually(t, "calls are signed with the new key", func() bool { return withNext.Load() > before+100 })
	cancel()
	total := 0
	for range cap(done) {
		total += <-done
	}
	if bad.Load() > 0 {
		t.Errorf("%d of %d calls failed", bad.Load(), total)
	}
}

// TestResignSpendsNothing asks for settings that would let anybody call.
func TestResignRefused(t *testing.T) {
	t.Parallel()
	loose := keyFile(t, good)
	require.NoError(t, os.Chmod(loose, 0o644))
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"everywhere": {[]string{"--resign.listen-address=0.0.0.0:0", "--resign.credentials-file=" + keyFile(t, good)}, "would let anyone use the credentials"},
		"no keys":    {[]string{"--resign.listen-address=127.0.0.1:0"}, "KSYUN_ACCESS_KEY is missing"},
		"open file":  {[]string{"--resign.listen-address=127.0.0.1:0", "--resign.credentials-file=" + loose}, "has mode 0644, so that other users can access the keys"},
		"elsewhere": {
			[]string{"--resign.listen-address=127.0.0.1:0", "--resign.credentials-file=" + keyFile(t, good), "--resign.upstream=https://example.com"},
			"--resign.upstream=https://example.com is not tapped\n  hint: tap it with --tap.host=example.com",
		},
	} {
		for _, verb := range []string{"run", "check-config"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			out, err := exec.CommandContext(ctx, binary, append([]string{verb, "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"}, tc.args...)...).CombinedOutput()
			cancel()
			if err == nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("%s, %s: %v\n%s", name, verb, err, out)
			}
		}
	}
}

// startResign starts a tap with a re-signing address and returns that, too.
func startResign(t *testing.T, keys string, args ...string) (tap *runningTap, own string) {
	t.Helper()
	tap = startTap(t, nil, append([]string{"--resign.listen-address=127.0.0.1:0", "--resign.credentials-file=" + keys}, args...)...)
	var line struct{ Resign []string }
	require.NoError(t, json.Unmarshal([]byte(tap.wait("ksyun-tap started")), &line))
	return tap, line.Resign[0]
}

func keyFile(t *testing.T, c cloudmonitor.Credential) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys.yaml")
	writeKeys(t, name, c)
	return name
}

// writeKeys puts a file in another's place, as tools that rotate keys do.
func writeKeys(t *testing.T, name string, c cloudmonitor.Credential) {
	t.Helper()
	text := "access_key: " + c.AccessKey + "\nsecret_key: " + c.SecretKey + "\n"
	if c.Token != "" {
		text += "security_token: " + c.Token + "\n"
	}
	part := name + time.Now().Format(".150405.000000000")
	testfile.Write(t, part, text, 0o600)
	require.NoError(t, os.Rename(part, name))
}
