//go:build e2e

package e2e

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestPodShortNames has a program in a pod call services of its cluster by each
// of the names that it may use. Those with a dot are left out by NO_PROXY; a name
// without one goes through the tap, which finds it by the pod's search domains
// and passes it on.
func TestPodShortNames(t *testing.T) {
	t.Parallel()
	if os.Getenv(binaryVariable) == "" {
		onOwnNetwork(t)
		return
	}
	ip(t, "link", "set", "lo", "up")
	ip(t, "addr", "add", loadAddress+"/32", "dev", "lo")
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	testfile.Write(t, resolvConf, "nameserver 127.0.0.1\nsearch billing.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", 0o644)
	if out, err := exec.Command("mount", "--bind", resolvConf, "/etc/resolv.conf").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	newNameServer(t, "127.0.0.1:53", ".svc.cluster.local.", loadAddress)
	ln, err := net.Listen("tcp", loadAddress+":9091")
	require.NoError(t, err)
	gateway := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go gateway.Serve(ln)
	defer gateway.Close()

	pod := render(t, "kustomize", "build", kubernetesDir+"/examples/job")[0].Pod
	tapEnv := containerEnv(pod.Spec.InitContainers[0], podFields, func(s string) string { return s })
	tapEnv = slices.DeleteFunc(tapEnv, func(kv string) bool {
		return !strings.HasPrefix(kv, "KSYUN_TAP_TAP_") // what is about addresses and files is the test's
	})
	tap := startTap(t, tapEnv)
	env := containerEnv(pod.Spec.Containers[0], podFields, func(s string) string {
		return strings.ReplaceAll(s, "127.0.0.1:18181", tap.proxy)
	})
	passed := func() string {
		_, metrics := get(t, "http://"+tap.admin+"/metrics")
		_, rest, _ := strings.Cut(metrics, "\nksyun_tap_unobserved_requests_total ")
		n, _, _ := strings.Cut(rest, "\n")
		return n
	}
	for name, throughTap := range map[string]bool{
		"pushgateway": true, "pushgateway.billing": false, "pushgateway.billing.svc": false, "pushgateway.billing.svc.cluster.local": false,
	} {
		before := passed()
		cmd := exec.Command("curl", "-sS", "http://"+name+":9091/")
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != name+":9091" {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		assert.Equal(t, throughTap, passed() != before, "%s went through the tap", name)
	}
}
