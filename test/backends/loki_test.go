//go:build e2e

package backends

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const loki = "../../.bin/loki"

// lokiConfig is the configuration of a Loki of one process that keeps its data in a
// directory.
const lokiConfig = `auth_enabled: false
analytics: {reporting_enabled: false}
server: {http_listen_address: 127.0.0.1, http_listen_port: %[1]s, grpc_listen_address: 127.0.0.1, grpc_listen_port: %[2]s, log_level: warn}
common:
  path_prefix: %[3]s
  replication_factor: 1
  instance_addr: 127.0.0.1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: %[3]s/chunks, rules_directory: %[3]s/rules}}
schema_config:
  configs: [{from: "2024-01-01", store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
`

// TestLoki finds failed calls by both IDs: of log lines by OTLP, and of those of the log
// file as an agent pushes them.
func TestLoki(t *testing.T) {
	if _, err := os.Stat(loki); err != nil {
		t.Skip("there is no Loki in .bin: run make loki, which takes some minutes")
	}
	base := startLoki(t)
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{}))
	defer api.Close()
	binary := build(t)
	file := filepath.Join(t.TempDir(), "tap.log")
	proxy := startTap(t, binary, api.Listener.Addr().String(), "KSYUN_TAP_LOG_FILE="+file, "OTEL_TRACES_EXPORTER=none",
		"OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="+base+"/otlp/v1/logs", "OTEL_BLRP_SCHEDULE_DELAY=100")
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})}
	defer transport.CloseIdleConnections()
	id := fail(t, &http.Client{Transport: transport})
	line := logLine(t, file, id)

	t.Run("by OTLP", func(t *testing.T) {
		found(t, base, `{service_name="ksyun-tap"} | request_id="`+id+`"`)
		lookUp(t, binary, id, "From Loki "+base, "--lookup.loki="+base)
		lookUp(t, binary, line.ID, id, "--lookup.loki="+base)
	})
	t.Run("as JSON lines", func(t *testing.T) {
		push(t, base, line.text)
		found(t, base, `{app="tap"} |= "`+id+`"`)
		lookUp(t, binary, id, "From Loki "+base, "--lookup.loki="+base, `--lookup.loki-selector={app="tap"}`)
		lookUp(t, binary, line.ID, id, "--lookup.loki="+base, `--lookup.loki-selector={app="tap"}`)
	})
}

// startLoki starts Loki and returns its URL.
func startLoki(t *testing.T) string {
	t.Helper()
	dir, address := t.TempDir(), freeport.TCP(t)
	_, port, _ := net.SplitHostPort(address)
	_, grpc, _ := net.SplitHostPort(freeport.TCP(t))
	config := filepath.Join(dir, "loki.yaml")
	testfile.Write(t, config, fmt.Sprintf(lokiConfig, port, grpc, dir), 0o600)
	start(t, nil, loki, "-config.file="+config, "-target=all")
	until(t, "http://"+address+"/ready")
	return "http://" + address
}

// failedCall is the log line of a failed call.
type failedCall struct {
	text string
	ID   string `json:"id"`
}

// logLine waits for the line of a call in the log file.
func logLine(t *testing.T, file, requestID string) (call failedCall) {
	t.Helper()
	eventually(t, "the log has the call", func() bool {
		data, _ := os.ReadFile(file)
		for text := range strings.Lines(string(data)) {
			if strings.Contains(text, requestID) && strings.HasSuffix(text, "\n") {
				call.text = strings.TrimSpace(text)
				return json.Unmarshal([]byte(text), &call) == nil
			}
		}
		return false
	})
	return call
}

// push sends a log line to Loki as an agent does.
func push(t *testing.T, base, line string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"streams": []any{map[string]any{
		"stream": map[string]string{"app": "tap"}, "values": [][]string{{strconv.FormatInt(time.Now().UnixNano(), 10), line}},
	}}})
	require.NoError(t, err)
	resp, err := http.Post(base+"/loki/api/v1/push", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusNoContent, resp.StatusCode, "push: status")
}

// found waits until Loki has a line that a query selects.
func found(t *testing.T, base, query string) {
	t.Helper()
	eventually(t, query+" selects a line", func() bool {
		resp, err := http.Get(base + "/loki/api/v1/query_range?" + url.Values{"query": {query}}.Encode())
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var response struct {
			Data struct {
				Result []json.RawMessage `json:"result"`
			} `json:"data"`
		}
		return json.NewDecoder(resp.Body).Decode(&response) == nil && len(response.Data.Result) > 0
	})
}
