//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/test/manifest"
)

const (
	kubernetesDir = "../../deploy/kubernetes"
	chartDir      = "../../deploy/helm/ksyun-tap"
	tapContainer  = "ksyun-tap"
	redirectStep  = "ksyun-tap-redirect"
)

// toolPath is where the Makefile puts tools, and then PATH.
func toolPath(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.bin")
	require.NoError(t, err)
	return dir + string(filepath.ListSeparator) + os.Getenv("PATH")
}

// tool runs helm or kustomize.
func tool(t *testing.T, name string, args ...string) (out, errOut string, err error) {
	t.Helper()
	path := toolPath(t)
	dir, _, _ := strings.Cut(path, string(filepath.ListSeparator))
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err != nil {
		file, err = exec.LookPath(name)
		require.NoError(t, err, "%v: make .bin/%s", err, name)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(file, args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+path, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+helmData)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// helmData is where Helm has its plugins; none by default.
var helmData = filepath.Join(os.TempDir(), "no-helm-plugins")

// render runs a tool that must succeed, and decodes what it printed.
func render(t *testing.T, name string, args ...string) []manifest.Object {
	t.Helper()
	out, errOut, err := tool(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errOut)
	}
	all, err := manifest.Decode([]byte(out))
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return all
}

// sound checks manifests that are applied together, the tap's settings in them
// by the tap itself.
func sound(t *testing.T, all []manifest.Object) {
	t.Helper()
	for _, wrong := range manifest.Check(all) {
		t.Error(wrong)
	}
	for _, o := range all {
		if o.Pod == nil {
			continue
		}
		for _, broken := range manifest.Restricted(o.Pod, redirectStep) {
			t.Errorf("%s %s: %s", o.Kind, o.Meta.Name, broken)
		}
		taps(t, o)
		for _, c := range slices.Concat(o.Pod.Spec.InitContainers, o.Pod.Spec.Containers) {
			switch {
			case c.Name == tapContainer:
				checkConfig(t, o, c)
			case len(c.Args) > 0 && strings.Contains(c.Image, "ksyun-tap"):
				// A verb of ours: its flags are ones that it has.
				args := slices.Clone(c.Args)
				if c.Name == redirectStep {
					args = append(args, "--dry-run")
				} else {
					args = append(args, "--help")
				}
				out, err := exec.Command(binary, args...).CombinedOutput()
				assert.NoError(t, err, "%s %s: %v\n%s", o.Kind, o.Meta.Name, args, out)
			}
		}
	}
}

// taps checks who can reach what of a sidecar: programs the certificates, and
// never the key.
func taps(t *testing.T, o manifest.Object) {
	t.Helper()
	i := slices.IndexFunc(o.Pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == tapContainer })
	if i < 0 {
		return
	}
	if i != 0 || o.Pod.Labels["ksyun-tap/scrape"] != "true" {
		t.Errorf("%s %s: the tap is init container %d, and the labels are %v", o.Kind, o.Meta.Name, i, o.Pod.Labels)
	}
	for _, c := range o.Pod.Spec.Containers {
		for _, m := range c.VolumeMounts {
			if m.Name == "ksyun-tap-ca" || m.Name == "ksyun-tap-trust" && !m.ReadOnly {
				t.Errorf("%s %s: container %s can read the key, or change what programs trust", o.Kind, o.Meta.Name, c.Name)
			}
		}
	}
	for _, v := range o.Pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, "ksyun-tap-") && v.Name != "ksyun-tap-journal" && (v.EmptyDir == nil || v.EmptyDir.Medium != corev1.StorageMediumMemory) {
			t.Errorf("%s %s: %s is not in memory", o.Kind, o.Meta.Name, v.Name)
		}
	}
}

// checkConfig has the tap check the settings of a container. Files that are
// mounted are put in a directory in their place.
func checkConfig(t *testing.T, o manifest.Object, c corev1.Container) {
	t.Helper()
	root := t.TempDir()
	_, certPEM := selfsigned.Certificate(apiHost)
	for name, text := range map[string][]byte{
		"etc/ksyun-tap/credentials/credentials.yaml": []byte("access_key: AKLTexample\nsecret_key: example\n"),
		"etc/ksyun-tap/roots/roots.pem":              certPEM,
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700))
		testfile.Write(t, filepath.Join(root, name), text, 0o400)
	}
	for _, m := range c.VolumeMounts {
		require.NoError(t, os.MkdirAll(root+m.MountPath, 0o700))
	}
	cmd := exec.Command(binary, append(slices.Clone(c.Args), "check-config")...)
	cmd.Env = containerEnv(c, podFields, func(value string) string {
		for _, m := range c.VolumeMounts {
			value = strings.ReplaceAll(value, m.MountPath, root+m.MountPath)
		}
		return value
	})
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "the settings are valid\n" {
		t.Errorf("%s %s: check-config: %v\n%s", o.Kind, o.Meta.Name, err, out)
	}
}

// containerEnv is what a container gets: values with $(NAME) filled in, edited,
// and the pod's downward API files, by path.
func containerEnv(c corev1.Container, fields map[string]string, edit func(string) string) []string {
	known := map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
	var env []string
	for _, e := range c.Env {
		value := os.Expand(strings.NewReplacer("$(", "${", ")", "}").Replace(e.Value), func(name string) string { return known[name] })
		if e.ValueFrom != nil {
			value = fields[e.ValueFrom.FieldRef.FieldPath]
		}
		known[e.Name] = value
		env = append(env, e.Name+"="+edit(value))
	}
	return env
}

// TestKustomize builds everything that can be built.
func TestKustomize(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{
		"base": "Service Deployment PodDisruptionBudget NetworkPolicy", "monitoring": "ConfigMap ConfigMap ConfigMap ConfigMap PodMonitor PrometheusRule",
		"examples/deployment": "Deployment", "examples/transparent": "Deployment", "examples/job": "Job", "examples/cronjob": "CronJob",
	}
	seen := 0
	err := filepath.WalkDir(kubernetesDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kustomization.yaml" || strings.Contains(path, "components") {
			return err
		}
		name, _ := filepath.Rel(kubernetesDir, filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			all := render(t, "kustomize", "build", filepath.Dir(path))
			sound(t, all)
			var got []string
			for _, o := range all {
				got = append(got, o.Kind)
			}
			assert.Equal(t, kinds[name], strings.Join(got, " "), "kinds %v", got)
		})
		seen++
		return nil
	})
	if err != nil || seen != len(kinds) {
		t.Errorf("%d were built: %v", seen, err)
	}
}

// TestKustomizeComponent puts the component on what others wrote: several
// containers, variables and volumes of their own, other kinds, two
// kustomizations in one, and a workload that is not to be tapped.
func TestKustomizeComponent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "components"), os.DirFS(kubernetesDir+"/components")))
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		require.NoError(t, errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)))
	}
	pod := `
      initContainers: [{name: migrate, image: m}]
      containers:
        - name: one
          image: o
          env: [{name: MINE, value: "1"}, {name: HTTP_PROXY, valueFrom: {configMapKeyRef: {name: c, key: k}}}]
          volumeMounts: [{name: data, mountPath: /data}]
        - {name: two, image: t}
      volumes: [{name: data, emptyDir: {}}]
`
	for _, team := range []string{"a", "b"} {
		write(team+"/kustomization.yaml", "resources: [all.yaml]\ncomponents: [../components/sidecar]\nnamePrefix: "+team+"-\n")
		write(team+"/all.yaml", `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set}
spec:
  selector: {matchLabels: {app: set}}
  serviceName: s
  template:
    metadata: {labels: {app: set}}
    spec: `+pod+`
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: daemon}
spec:
  selector: {matchLabels: {app: daemon}}
  template:
    metadata: {labels: {app: daemon}}
    spec: `+pod+`
---
apiVersion: batch/v1
kind: Job
metadata: {name: untapped, labels: {ksyun-tap/inject: "false"}}
spec:
  template:
    spec: {containers: [{name: one, image: o}], restartPolicy: Never}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {k: v}
`)
	}
	write("kustomization.yaml", "resources: [a, b]\n")
	all := render(t, "kustomize", "build", dir)
	require.Len(t, all, 8, "manifests")
	for _, wrong := range manifest.Check(all) {
		t.Error(wrong)
	}
	for _, o := range all {
		if strings.HasSuffix(o.Meta.Name, "untapped") {
			if len(o.Pod.Spec.InitContainers) != 0 || len(o.Pod.Spec.Containers[0].Env) != 0 || len(o.Pod.Spec.Volumes) != 0 {
				t.Errorf("%s was tapped", o.Meta.Name)
			}
			continue
		}
		if o.Pod == nil {
			continue
		}
		taps(t, o)
		names := []string{}
		for _, c := range slices.Concat(o.Pod.Spec.InitContainers, o.Pod.Spec.Containers) {
			names = append(names, c.Name)
		}
		assert.Equal(t, "ksyun-tap migrate one two", strings.Join(names, " "), "%s has the containers", o.Meta.Name)
		one, two := o.Pod.Spec.Containers[0], o.Pod.Spec.Containers[1]
		if one.Env[0].Value != "1" || one.Env[1].Value != "http://127.0.0.1:18181" || one.Env[1].ValueFrom != nil ||
			len(one.Env) != len(two.Env)+1 || len(one.VolumeMounts) != 2 || len(two.VolumeMounts) != 1 {
			t.Errorf("%s: %+v, %+v", o.Meta.Name, one, two)
		}
	}
}

// TestSidecarEnvironment compares what programs in a pod get with what exec
// gives them.
func TestSidecarEnvironment(t *testing.T) {
	t.Parallel()
	pod := render(t, "kustomize", "build", kubernetesDir+"/examples/job")[0].Pod
	cmd := exec.Command(binary, "exec", "--summary=none", "--", "env")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	require.NoError(t, err)
	byExec := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, "=")
		byExec[name] = true
	}
	for _, kv := range containerEnv(pod.Spec.Containers[0], podFields, func(s string) string { return s }) {
		name, value, _ := strings.Cut(kv, "=")
		if strings.EqualFold(name, "NO_PROXY") {
			for _, entry := range []string{"localhost", "127.0.0.1", "::1", "169.254.169.254", ".svc", ".cluster.local", ".billing", "10.96.0.1"} {
				assert.Contains(t, strings.Split(value, ","), entry, "%s does not leave out %s: %s", name, entry, value)
			}
		}
	}
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == "TAPPED_NAMESPACE" {
			continue // exec reads it where the pod has it
		}
		assert.True(t, byExec[e.Name], "%s is set in a pod, not by exec", e.Name)
		delete(byExec, e.Name)
	}
	// The settings of Java and Node need files that only exec writes.
	for _, name := range []string{"PATH", "JAVA_TOOL_OPTIONS", "NODE_OPTIONS"} {
		delete(byExec, name)
	}
	for name := range byExec {
		t.Errorf("%s is set by exec, not in a pod", name)
	}
}

// hasVolume reports whether a pod has the volume and its tap mounts it.
func hasVolume(pod *corev1.PodTemplateSpec, name string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }) &&
		slices.ContainsFunc(pod.Spec.InitContainers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })
}

// programChart is a chart of a user's that has ours as a dependency.
func programChart(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(
		os.CopyFS(dir, os.DirFS("../../deploy/helm/examples/program")),
		os.CopyFS(filepath.Join(dir, "charts", "ksyun-tap"), os.DirFS(chartDir)),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestHelm lints and renders the chart, and one that includes it, over a matrix
// of values and versions of Kubernetes.
func TestHelm(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(chartDir + "/ci/*-values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("values: %v, %v", files, err)
	}
	for _, values := range append(files, chartDir+"/values.yaml") {
		t.Run(filepath.Base(values), func(t *testing.T) {
			if _, errOut, err := tool(t, "helm", "lint", "--strict", "--quiet", chartDir, "--values="+values); err != nil {
				t.Errorf("lint: %s", errOut)
			}
			for _, version := range []string{"1.29.0", "1.30.0", "1.36.2-gke.100"} {
				for _, release := range []string{"ksyun-tap", "a-release-whose-name-is-as-long-as-helm-lets-it-be-xx"} {
					all := render(t, "helm", "template", release, chartDir, "--namespace=taps", "--kube-version="+version, "--values="+values)
					sound(t, all)
					for _, o := range all {
						if o.Kind == "Deployment" && (o.Pod.Spec.Containers[0].Lifecycle != nil) != (version != "1.29.0") {
							t.Errorf("Kubernetes %s: lifecycle %v", version, o.Pod.Spec.Containers[0].Lifecycle)
						}
					}
				}
			}
		})
	}
	for _, way := range []string{"proxy", "transparent"} {
		for _, intercept := range []string{"true", "false"} {
			t.Run(way+" "+intercept, func(t *testing.T) {
				chart := programChart(t)
				all := render(t, "helm", "template", "r", chart, "--set", "ksyun-tap.sidecar.way="+way, "--set", "ksyun-tap.sidecar.intercept="+intercept, "--set", "ksyun-tap.journal.enabled="+intercept)
				sound(t, all)
				if got := hasVolume(all[0].Pod, "ksyun-tap-journal"); strconv.FormatBool(got) != intercept {
					t.Errorf("a volume of the journal: %t", got)
				}
				if len(all) != 1 || len(all[0].Pod.Spec.InitContainers) != map[string]int{"proxy": 1, "transparent": 2}[way] {
					t.Errorf("%d manifests, %+v", len(all), all[0].Pod.Spec.InitContainers)
				}
				if _, errOut, err := tool(t, "helm", "lint", "--strict", "--quiet", chart); err != nil {
					t.Errorf("lint: %s", errOut)
				}
			})
		}
	}
	if _, errOut, err := tool(t, "helm", "template", "r", chartDir, "--kube-version=1.28.9"); err == nil || !strings.Contains(errOut, "incompatible with Kubernetes v1.28.9") {
		t.Errorf("Kubernetes 1.28: %v, %s", err, errOut)
	}
}

// TestHelmAsKustomize compares what the chart makes with what Kustomize does.
func TestHelmAsKustomize(t *testing.T) {
	t.Parallel()
	normal := func(o manifest.Object) *corev1.PodTemplateSpec {
		pod := o.Pod.DeepCopy()
		pod.ObjectMeta = o.Pod.ObjectMeta
		for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for i := range list {
				slices.SortFunc(list[i].Env, func(a, b corev1.EnvVar) int { return strings.Compare(a.Name, b.Name) })
				list[i].ImagePullPolicy = ""
				_, list[i].Image, _ = strings.Cut(list[i].Image, "ksyun-tap:")
				if list[i].Name == "program" {
					list[i].Command = nil
				}
			}
		}
		return pod
	}
	f := func(what string, a, b any) {
		t.Helper()
		assert.Equal(t, b, a, "%s: the chart makes\n%+v\nKustomize\n%+v", what, a, b)
	}
	for way, example := range map[string]string{"proxy": "deployment", "transparent": "transparent"} {
		byHelm := normal(render(t, "helm", "template", "r", programChart(t), "--set", "ksyun-tap.settings=null", "--set", "ksyun-tap.sidecar.way="+way)[0])
		byKustomize := normal(render(t, "kustomize", "build", kubernetesDir+"/examples/"+example)[0])
		f(way, byHelm.Spec, byKustomize.Spec)
	}
	find := func(all []manifest.Object, kind string) manifest.Object {
		t.Helper()
		i := slices.IndexFunc(all, func(o manifest.Object) bool { return o.Kind == kind })
		require.GreaterOrEqual(t, i, 0, "no %s", kind)
		return all[i]
	}
	byHelm := find(render(t, "helm", "template", "ksyun-tap", chartDir), "Deployment")
	byKustomize := find(render(t, "kustomize", "build", kubernetesDir+"/base"), "Deployment")
	f("standalone", normal(byHelm).Spec.Containers, normal(byKustomize).Spec.Containers)
	f("standalone", byHelm.Pod.Spec.SecurityContext, byKustomize.Pod.Spec.SecurityContext)
	monitoring := []string{"podMonitor.enabled=true", "prometheusRule.enabled=true", "dashboards.enabled=true"}
	chart := render(t, "helm", "template", "ksyun-tap", chartDir, "--set="+strings.Join(monitoring, ","))
	kustomize := render(t, "kustomize", "build", kubernetesDir+"/monitoring")
	f("PodMonitor", find(chart, "PodMonitor").Value.(*monitoringv1.PodMonitor).Spec, find(kustomize, "PodMonitor").Value.(*monitoringv1.PodMonitor).Spec)
	f("PrometheusRule", find(chart, "PrometheusRule").Value.(*monitoringv1.PrometheusRule).Spec, find(kustomize, "PrometheusRule").Value.(*monitoringv1.PrometheusRule).Spec)
	dashboards := func(all []manifest.Object) map[string]string {
		files := map[string]string{}
		for _, o := range all {
			if c, ok := o.Value.(*corev1.ConfigMap); ok {
				assert.Equal(t, "1", c.Labels["grafana_dashboard"], "%s has the labels %v", c.Name, c.Labels)
				for name, text := range c.Data {
					files[name] = strings.TrimSpace(text)
				}
			}
		}
		return files
	}
	if files := dashboards(chart); len(files) == 0 {
		t.Error("no dashboard")
	} else {
		f("dashboards", files, dashboards(kustomize))
	}
}

// TestHelmRefuses gives the chart values that cannot work.
func TestHelmRefuses(t *testing.T) {
	t.Parallel()
	f := func(want string, set ...string) {
		t.Helper()
		args := []string{"template", "r", chartDir}
		for _, s := range set {
			args = append(args, "--set-json="+s)
		}
		if _, errOut, err := tool(t, "helm", args...); err == nil || !strings.Contains(errOut, want) {
			t.Errorf("%v: %v\n%s\nwant %s", set, err, errOut, want)
		}
	}
	f("additional properties 'replicas' not allowed", `replicas=3`)
	f("journal.existingClaim needs standalone.replicas=1", `journal={"enabled":true,"existingClaim":"c"}`)
	f("additional properties 'log.levl' not allowed", `settings={"log.levl":"debug"}`)
	f("at '/settings/log.access': got string, want boolean", `settings={"log.access":"yes"}`)
	f("additional properties 'web.listen-address' not allowed", `settings={"web.listen-address":":80"}`)
	f("at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'", `image.pullPolicy="never"`)
	f("at '/image/digest': 'latest' does not match pattern", `image.digest="latest"`)
	f("at '/sidecar/way': value must be one of 'proxy', 'transparent'", `sidecar.way="both"`)
	f("at '/sidecar/resources/limits/memory': '64M' does not match pattern", `sidecar.resources.limits.memory="64M"`)
	f("at '/standalone/resign/credentialsSecret': minLength", `standalone.resign.enabled=true`, `standalone.resign.allow=["10.0.0.0/8"]`)
	f("at '/standalone/resign/allow': minItems", `standalone.resign.enabled=true`, `standalone.resign.credentialsSecret="s"`)
	f("at '/standalone/resign/allow/0': '10.0.0.1' does not match pattern", `standalone.resign.allow=["10.0.0.1"]`)
	f("'ENDPOINT' does not match pattern '^OTEL_", `otel={"ENDPOINT":"x"}`)
	f("at '/standalone/replicas': minimum", `standalone.replicas=-1`)
	f("at '/podMonitor/interval'", `podMonitor.interval="often"`)
}

// TestPostRenderer has Helm put the tap into the pods of a chart that knows
// nothing of it.
func TestPostRenderer(t *testing.T) {
	helmData = t.TempDir()
	chart := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(chart, "Chart.yaml"), []byte("apiVersion: v2\nname: any\nversion: 0.1.0\n"), 0o600), os.Mkdir(filepath.Join(chart, "templates"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"deployment/deployment.yaml", "cronjob/cronjob.yaml"} {
		text := testfile.Read(t, kubernetesDir+"/examples/"+name)
		testfile.Write(t, filepath.Join(chart, "templates", filepath.Base(name)), text, 0o600)
	}
	plugin, err := filepath.Abs("../../deploy/helm/post-renderer")
	require.NoError(t, err)
	if out, errOut, err := tool(t, "helm", "plugin", "install", plugin); err != nil {
		t.Fatalf("%s%s", out, errOut)
	}
	for image, want := range map[string]string{
		"": "ksyun-tap:0.1.0", "registry.example:5000/ksyun-tap:9": "registry.example:5000/ksyun-tap:9",
		"registry.example/ksyun-tap@sha256:" + strings.Repeat("0", 64): "registry.example/ksyun-tap@sha256:" + strings.Repeat("0", 64),
	} {
		all := render(t, "helm", "template", "r", chart, "--post-renderer=ksyun-tap-inject", "--post-renderer-args=transparent", "--post-renderer-args="+image)
		sound(t, all)
		assert.Len(t, all, 2, "manifests")
		for _, o := range all {
			for _, c := range o.Pod.Spec.InitContainers {
				assert.Equal(t, want, c.Image, "%s is", c.Name)
			}
		}
	}
	out, err := exec.Command(filepath.Join(plugin, "inject.sh"), "side").CombinedOutput() // Helm does not pass on what it says
	if err == nil || !strings.Contains(string(out), `no component "side": give sidecar or transparent`) {
		t.Errorf("a component that is not there: %v, %s", err, out)
	}
}
