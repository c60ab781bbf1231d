//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// credentialsAddress is where the programs of a container find credentials.
const credentialsAddress = "169.254.170.2"

// TestLinkLocalAddress has programs read credentials from 169.254.170.2, directly,
// under exec and with the variables of a pod: they are forwarded, and counted as
// unobserved. A tap that other programs can reach refuses them.
func TestLinkLocalAddress(t *testing.T) {
	t.Parallel()
	if os.Getenv(binaryVariable) == "" {
		onOwnNetwork(t)
		return
	}
	ip(t, "link", "set", "lo", "up")
	ip(t, "addr", "add", credentialsAddress+"/32", "dev", "lo")
	ln, err := net.Listen("tcp", credentialsAddress+":80")
	require.NoError(t, err)
	var asked atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		fmt.Fprintf(w, "%s %s %s", r.Host, r.URL.Path, r.Header.Get("Authorization"))
	})}
	go server.Serve(ln)
	defer server.Close()

	const url, want = "http://" + credentialsAddress + "/v2/credentials/x", credentialsAddress + " /v2/credentials/x token"
	clients := map[string][]string{
		"curl":                   {"curl", "-sS", "-H", "Authorization: token", url},
		"a child of the command": {"sh", "-c", `sh -c 'curl -sS -H "Authorization: token" "$0"' "$0"`, url},
		"requests":               {"/usr/bin/python3", "-c", `import sys, requests; sys.stdout.write(requests.get(sys.argv[1], headers={"Authorization": "token"}).text)`, url},
	}
	pod := render(t, "kustomize", "build", kubernetesDir+"/examples/job")[0].Pod
	tapEnv := slices.DeleteFunc(containerEnv(pod.Spec.InitContainers[0], podFields, func(s string) string { return s }), func(kv string) bool {
		return !strings.HasPrefix(kv, "KSYUN_TAP_TAP_") // the test chooses addresses and files
	})
	tap, shared := startTap(t, tapEnv), startTap(t, nil)
	podEnv := func(proxy string) []string {
		return containerEnv(pod.Spec.Containers[0], podFields, func(s string) string { return strings.ReplaceAll(s, "127.0.0.1:18181", proxy) })
	}
	run := func(env, command []string) string {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%v: %v: %s", command, err, out)
		return string(out)
	}
	for name, command := range clients {
		t.Run(name, func(t *testing.T) {
			before := asked.Load()
			assert.Equal(t, want, run(nil, command), "directly")
			out, s := execUnobserved(t, nil, nil, command...)
			if out != want || s.Calls != 0 || s.Failed != 0 || len(s.Unobserved) != 1 || s.Unobserved[0].Host != credentialsAddress+":80" || s.Unobserved[0].Count != 1 {
				t.Errorf("under exec: %s, summary %+v", out, s)
			}
			assert.Equal(t, want, run(podEnv(tap.proxy), command), "in a pod")
			assert.EqualValues(t, 3, asked.Load()-before, "requests")
			if out := run(podEnv(shared.proxy), command); !strings.Contains(out, "TapHostRefused") || asked.Load()-before != 3 {
				t.Errorf("through a shared tap: %s", out)
			}
		})
	}
	_, metrics := get(t, "http://"+tap.admin+"/metrics")
	if want := fmt.Sprintf("\nksyun_tap_unobserved_requests_total %d\n", len(clients)); !strings.Contains(metrics, want) {
		t.Errorf("the pod's tap does not count %d unobserved requests", len(clients))
	}
}
