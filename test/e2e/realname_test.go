//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// TestRealHostName runs clients that know no proxy and call the API by its own
// name, which leads to the tap.
func TestRealHostName(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer plain.Close()
	secure, vendorCA := tlsAPI(t)
	caDir := filepath.Join(t.TempDir(), "ca")
	tap := startTap(t, nil, "--intercept", "--intercept.ca-dir="+caDir, "--proxy.tls-listen-address=127.0.0.1:0",
		"--upstream.ca-file="+vendorCA, "--upstream.connect-to="+apiHost+":80="+plain.Listener.Addr().String(),
		"--upstream.connect-to="+apiHost+":443="+secure)
	var started struct {
		ProxyTLS []string `json:"proxy_tls"`
	}
	require.NoError(t, json.Unmarshal([]byte(tap.wait("ksyun-tap started")), &started))
	tlsAddress := started.ProxyTLS[0]

	curl := `for field in X-None:1 X-Simulate:error=LimitExceeded; do
	  curl -sS -o /dev/null -w '%{http_code}\n' --noproxy '*' --aws-sigv4 aws:amz:cn-beijing-6:monitor -u "$1:$2" \
	    --cacert "$3" --connect-to "` + apiHost + `:80:$4" --connect-to "` + apiHost + `:443:$5" \
	    -H 'Accept: application/json' -H "$field" "$6://` + apiHost + `/?Action=ListMetrics&Version=2010-05-25"
	done; echo done`
	f := func(name string, env []string, source, command string, args ...string) {
		t.Helper()
		client := start(t, env, command, args...)
		client.wait("200")
		client.wait("409")
		tap.wait(`"code":"LimitExceeded"`, `"source":"`+source+`"`, `"url":"`+name+`://`+apiHost)
	}
	bundle := filepath.Join(caDir, "bundle.pem")
	f("http", nil, "reverse", "sh", "-c", curl, "sh", good.AccessKey, good.SecretKey, bundle, tap.proxy, tlsAddress, "http")
	f("https", nil, "reverse", "sh", "-c", curl, "sh", good.AccessKey, good.SecretKey, bundle, tap.proxy, tlsAddress, "https")
	f("https", []string{"NODE_EXTRA_CA_CERTS=" + filepath.Join(caDir, "ca.pem")}, "reverse", "node", "testdata/client.mjs", good.AccessKey, good.SecretKey, tlsAddress)
	eventually(t, "each client's failure is logged", func() bool {
		return strings.Count(tap.text(), `"code":"LimitExceeded"`) == 3
	})

	// A program that does not trust the CA is reported, with what to do.
	stranger := start(t, nil, "curl", "-sS", "--noproxy", "*", "--connect-to", apiHost+":443:"+tlsAddress, "https://"+apiHost+"/")
	<-stranger.exit
	tap.wait("TLS handshake with a program failed", `"reason":"untrusted_ca"`, `"host":"`+apiHost+`"`, "bundle.pem")
	_, metrics := get(t, "http://"+tap.admin+"/metrics")
	for _, want := range []string{`ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"} 1`, "ksyun_tap_ca_not_after_timestamp_seconds "} {
		assert.Contains(t, metrics, want, "no %s in the metrics", want)
	}
	promtoolCheck(t, tap.admin)
}
