//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const (
	podAddress   = "10.77.0.1"
	apiAddress   = "10.77.0.2"
	otlpAddress  = apiAddress + ":4318"
	lastNotice   = 2 * time.Second // between SIGTERM and SIGKILL, where a pod's time is up
	programImage = "program:1"     // the test machine's own file system
)

// podFields are the fields of the downward API.
var podFields = map[string]string{
	"metadata.name": "report-x7k2p", "metadata.namespace": "billing", "metadata.uid": "0b1c", "spec.nodeName": "node-3",
}

// staticBinary is the tap as an image has it: one file that needs no other.
var staticBinary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(filepath.Dir(binary), "static", "ksyun-tap")
	cmd := exec.Command("go", "build", "-C", "../..", "-trimpath", "-o", file, "./cmd/ksyun-tap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return file, nil
})

// kubelet does with one pod what Kubernetes' does: in its order, with the
// commands, variables, users, capabilities, volumes and probes of the manifest.
// A container is a mount namespace with a root of its own; the pod's network is
// that of the programs' host.
type kubelet struct {
	t       *testing.T
	pod     *corev1.PodTemplateSpec
	volumes map[string]string // their directories
	roots   string            // in PEM, what the tap's image trusts
	running map[string]*process
}

func newKubelet(t *testing.T, pod *corev1.PodTemplateSpec, caFile string) *kubelet {
	t.Helper()
	roots := testfile.Read(t, caFile)
	k := &kubelet{t: t, pod: pod.DeepCopy(), volumes: map[string]string{}, roots: string(roots), running: map[string]*process{}}
	for _, v := range pod.Spec.Volumes {
		k.volumes[v.Name] = filepath.Join(t.TempDir(), v.Name)
		// As an emptyDir is: everybody's.
		require.NoError(t, errors.Join(os.Mkdir(k.volumes[v.Name], 0o777), os.Chmod(k.volumes[v.Name], 0o777)))
	}
	return k
}

// tap is the tap's container.
func (k *kubelet) tap() *corev1.Container { return &k.pod.Spec.InitContainers[0] }

// set gives the tap a setting or variable, as a user's patch would.
func (k *kubelet) set(name, value string) {
	k.tap().Env = append(k.tap().Env, corev1.EnvVar{Name: name, Value: value})
}

// start starts the containers: sidecars up to their startup probe, init
// containers to their end, and then the programs.
func (k *kubelet) start() {
	k.t.Helper()
	for _, c := range k.pod.Spec.InitContainers {
		p := k.run(c)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			k.started(c)
			continue
		}
		if code := k.ended(p, patience); code != 0 {
			k.t.Fatalf("init container %s: exit code %d", c.Name, code)
		}
	}
	for _, c := range k.pod.Spec.Containers {
		k.run(c)
	}
}

// started waits for a container's startup probe.
func (k *kubelet) started(c corev1.Container) {
	k.t.Helper()
	period := time.NewTicker(time.Duration(c.StartupProbe.PeriodSeconds) * time.Second)
	defer period.Stop()
	var err error
	for range c.StartupProbe.FailureThreshold {
		if err = k.probe(c, c.StartupProbe); err == nil {
			return
		}
		<-period.C
	}
	k.t.Fatalf("container %s did not start: %v", c.Name, err)
}

// probe asks a container from outside of the pod.
func (k *kubelet) probe(c corev1.Container, probe *corev1.Probe) error {
	k.t.Helper()
	i := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal })
	if i < 0 {
		k.t.Fatalf("container %s has no port %s", c.Name, probe.HTTPGet.Port.StrVal)
	}
	client := &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (nc net.Conn, err error) {
			on(k.t, servers, func() error {
				nc, err = net.Dial(network, address)
				return nil
			})
			return nc, err
		}},
	}
	res, err := client.Get(fmt.Sprintf("http://%s:%d%s", podAddress, c.Ports[i].ContainerPort, probe.HTTPGet.Path))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return err
}

// run starts a container.
func (k *kubelet) run(c corev1.Container) *process {
	k.t.Helper()
	root := filepath.Join(k.t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		k.t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -e\n")
	command := slices.Concat(c.Command, c.Args)
	if c.Image == programImage {
		fmt.Fprintf(&script, "mount --rbind / %[1]s\nmount -t tmpfs none %[1]s/run\n", root)
	} else {
		k.unpack(root)
		if len(c.Command) == 0 {
			command = append([]string{"/usr/bin/ksyun-tap"}, command...) // the image's entry point
		}
		fmt.Fprintf(&script, "mount --bind %[1]s %[1]s\nmkdir -p %[1]s/proc\nmount -t proc none %[1]s/proc\n", root)
	}
	for _, m := range c.VolumeMounts {
		fmt.Fprintf(&script, "mkdir -p %[1]s%[2]s\nmount --bind %[3]s %[1]s%[2]s\n", root, m.MountPath, k.volumes[m.Name])
		if m.ReadOnly {
			fmt.Fprintf(&script, "mount -o remount,bind,ro %s%s\n", root, m.MountPath)
		}
	}
	security := c.SecurityContext
	if security.ReadOnlyRootFilesystem != nil && *security.ReadOnlyRootFilesystem {
		fmt.Fprintf(&script, "mount -o remount,bind,ro %s\n", root)
	}
	user := k.pod.Spec.SecurityContext.RunAsUser
	if security.RunAsUser != nil {
		user = security.RunAsUser
	}
	// What changes root and user needs capabilities of its own.
	bounding := []string{"-all", "+sys_chroot", "+setuid", "+setgid"}
	if security.Capabilities != nil {
		for _, added := range security.Capabilities.Add {
			bounding = append(bounding, "+"+strings.ToLower(string(added)))
		}
	}
	fmt.Fprintf(&script, "exec setpriv --bounding-set=%s --inh-caps=-all --no-new-privs env -i \"$@\"\n", strings.Join(bounding, ","))

	args := []string{"netns", "exec", programs, "unshare", "--mount", "--propagation=private", "sh", "-c", script.String(), "sh"}
	args = append(args, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	args = append(args, containerEnv(c, podFields, func(s string) string { return s })...)
	id := strconv.FormatInt(*user, 10)
	args = append(args, "chroot", "--userspec="+id+":"+id, "--groups=", root)
	p := start(k.t, nil, "ip", append(args, command...)...)
	k.running[c.Name] = p
	return p
}

// unpack lays out the tap's image: the program and the roots it trusts, as
// deploy/docker does.
func (k *kubelet) unpack(root string) {
	k.t.Helper()
	file, err := staticBinary()
	if err != nil {
		k.t.Fatal(err)
	}
	bin, certs := filepath.Join(root, "usr/bin"), filepath.Join(root, "etc/ssl/certs")
	if err := errors.Join(os.MkdirAll(bin, 0o755), os.Link(file, filepath.Join(bin, "ksyun-tap")), os.MkdirAll(certs, 0o755),
		os.WriteFile(filepath.Join(certs, "ca-certificates.crt"), []byte(k.roots), 0o644)); err != nil {
		k.t.Fatal(err)
	}
}

// ended waits for a container's end, for so long, and then kills it.
func (k *kubelet) ended(p *process, within time.Duration) (code int) {
	k.t.Helper()
	select {
	case err := <-p.exit:
		p.exit <- err // for who asks again
	case <-time.After(within):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // all of the container's
		p.exit <- <-p.exit
	}
	return p.cmd.ProcessState.ExitCode() // -1 for a signal
}

// stop ends the programs, within their time, and after them the sidecars, for
// which there is next to none.
func (k *kubelet) stop(grace time.Duration) {
	k.t.Helper()
	for _, c := range k.pod.Spec.Containers {
		_ = k.running[c.Name].cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, c := range k.pod.Spec.Containers {
		k.ended(k.running[c.Name], grace)
	}
	for _, c := range slices.Backward(k.pod.Spec.InitContainers) {
		_ = k.running[c.Name].cmd.Process.Signal(syscall.SIGTERM)
		k.ended(k.running[c.Name], lastNotice)
	}
}

// programScript makes calls, from its first moment to its last, over HTTP and
// HTTPS. It says what became of each, and fails if one did not get through.
const programScript = `
failed=0
call() {
  code=$(curl -sS -o /dev/null -w '%{http_code}' $RESOLVE --aws-sigv4 aws:amz:cn-beijing-6:monitor -u "$KEYS" \
    -H 'Accept: application/json' -H "X-Simulate: $2" "$1://monitor.api.ksyun.com/?Action=ListMetrics&Version=2010-05-25")
  [ $? = 0 ] && [ "$code" = "$3" ] || failed=1
  echo "called over $1: $code"
}
`

// podRig is a pod of an example, with the API and a collector in its reach.
func podRig(t *testing.T, example, program string, collector http.Handler) *kubelet {
	t.Helper()
	connectHosts(t)
	caFile := serve(t)
	if collector != nil {
		otlp := httptest.NewUnstartedServer(collector)
		otlp.Listener.Close()
		otlp.Listener = listenOn(t, servers, otlpAddress)
		otlp.Start()
		t.Cleanup(otlp.Close)
	}
	k := newKubelet(t, render(t, "kustomize", "build", kubernetesDir+"/examples/"+example)[0].Pod, caFile)
	k.set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+otlpAddress)
	k.set("KSYUN_TAP_LOG_ACCESS", "true")
	p := &k.pod.Spec.Containers[0]
	p.Command = []string{"sh", "-c", programScript + program}
	p.Env = append(p.Env, corev1.EnvVar{Name: "KEYS", Value: good.AccessKey + ":" + good.SecretKey})
	if example == "transparent" {
		resolve := fmt.Sprintf("--resolve %[1]s:80:%[2]s --resolve %[1]s:443:%[2]s", apiHost, apiAddress)
		p.Env = append(p.Env, corev1.EnvVar{Name: "RESOLVE", Value: resolve})
	} else {
		k.set("KSYUN_TAP_UPSTREAM_CONNECT_TO", fmt.Sprintf("%[1]s:80=%[2]s:80\n%[1]s:443=%[2]s:443", apiHost, apiAddress))
	}
	return k
}

// TestPodOfJob runs a Job's pod to its end: it completes, no call fails, and of
// the last one span and log line are there.
func TestPodOfJob(t *testing.T) {
	t.Parallel()
	spans := otlprecv.New(1000)
	k := podRig(t, "job", `
for i in 1 2 3 4 5; do call http none 200; call https none 200; done
test -r "$SSL_CERT_FILE" || failed=1
touch "$SSL_CERT_FILE" 2>/dev/null && failed=1
call https error=LimitExceeded 409
exit $failed
`, spans)
	k.start()
	tap, program := k.running[tapContainer], k.running["program"]
	if code := k.ended(program, patience); code != 0 || strings.Count(program.text(), "called over") != 11 {
		t.Errorf("the program: exit code %d", code)
	}
	k.stop(0)
	if code := tap.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the tap: exit code %d", code)
	}
	last := spans.Select(func(s otlprecv.Span) bool { return s.Attributes["ksyun.error.code"] == "LimitExceeded" })
	require.Len(t, last, 1, "spans of the last call")
	for name, want := range map[string]string{
		"service.name": "ksyun-tap", "k8s.pod.name": "report-x7k2p", "k8s.namespace.name": "billing", "k8s.node.name": "node-3",
		"k8s.pod.uid": "0b1c", "k8s.container.name": "ksyun-tap", "service.instance.id": "billing.report-x7k2p.ksyun-tap",
	} {
		assert.Equal(t, want, last[0].Resource[name], "%s is", name)
	}
	if l := logLine(t, &runningTap{process: tap}, "LimitExceeded"); l.TraceID != last[0].TraceID {
		t.Errorf("the line has the trace %s, the span %s", l.TraceID, last[0].TraceID)
	}
	assert.Equal(t, 11, strings.Count(tap.text(), `"request_id"`), "lines of 11 calls")
	if info, err := os.Stat(filepath.Join(k.volumes["ksyun-tap-ca"], "ca")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the CA's directory: %v, %v", info, err)
	}
}

// untilTerm makes calls until SIGTERM, and then one more.
const untilTerm = `
trap stop=1 TERM
stop=
while [ -z "$stop" ]; do call http none 200; call https none 200; done
call https error=InternalFailure 400
echo "ended with $failed"
exit $failed
`

// TestPodOfDeployment stops a pod while its program makes calls, by each way of
// injection. Before, the tap's container is killed and restarted: programs
// go on with what they trust.
func TestPodOfDeployment(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"deployment", "transparent"} {
		t.Run(example, func(t *testing.T) {
			spans := otlprecv.New(1000)
			k := podRig(t, example, untilTerm, spans)
			trust := filepath.Join(k.volumes["ksyun-tap-trust"], "bundle.pem")
			tapped := k.tap()
			k.run(*tapped)
			k.started(*tapped)
			before := testfile.Read(t, trust)
			_ = k.running[tapContainer].cmd.Process.Kill()
			k.ended(k.running[tapContainer], patience)
			k.start()
			if after, err := os.ReadFile(trust); err != nil || string(after) != string(before) {
				t.Errorf("after a restart programs are to trust something else: %v", err)
			}
			program := k.running["program"]
			program.wait("called over http:", "200")
			program.wait("called over https:", "200")
			for _, probe := range []*corev1.Probe{tapped.ReadinessProbe, tapped.LivenessProbe} {
				assert.NoError(t, k.probe(*tapped, probe))
			}
			k.stop(patience)
			if code := program.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(program.text(), "ended with 0") {
				t.Errorf("the program: exit code %d", code)
			}
			if code := k.running[tapContainer].cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("the tap: exit code %d", code)
			}
			if len(spans.Select(func(s otlprecv.Span) bool { return s.Attributes["ksyun.error.code"] == "InternalFailure" })) != 1 {
				t.Error("the last call's span is lost")
			}
			logLine(t, &runningTap{process: k.running[tapContainer]}, "InternalFailure")
			if lines, calls := strings.Count(k.running[tapContainer].text(), `"request_id"`), strings.Count(program.text(), "called over"); lines != calls {
				t.Errorf("%d lines of %d calls", lines, calls)
			}
		})
	}
}

// TestPodOutOfTime stops a pod whose program does not end, with a collector that
// does not answer: the program is killed within a call, the tap soon after it.
// No line is lost.
func TestPodOutOfTime(t *testing.T) {
	t.Parallel()
	k := podRig(t, "deployment", `
trap : TERM
call http error=LimitExceeded 409
call https fault=hang 200
`, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	k.start()
	tap, program := k.running[tapContainer], k.running["program"]
	program.wait("called over http:", "409")
	eventually(t, "the second call is on its way", func() bool {
		return strings.Contains(within(t, programs, "curl", "-sS", "http://127.0.0.1:18180/metrics"), "\nksyun_api_requests_in_flight{service=\"monitor\"} 1\n")
	})
	k.stop(time.Second)
	assert.Equal(t, -1, program.cmd.ProcessState.ExitCode(), "the program was not killed, so this proves nothing")
	logLine(t, &runningTap{process: tap}, "LimitExceeded")
	assert.Equal(t, 1, strings.Count(tap.text(), `"outcome":"canceled"`), "lines of the call that was cut off")
}
