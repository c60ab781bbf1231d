package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const (
	deploy     = "../../deploy/"
	kubernetes = deploy + "kubernetes/"
)

// read decodes the manifests of files.
func read(t *testing.T, patterns ...string) []Object {
	t.Helper()
	var all []Object
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no file, %v", pattern, err)
		}
		for _, file := range files {
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			text := testfile.Read(t, file)
			objects, err := Decode(text)
			if err != nil || len(objects) == 0 {
				t.Errorf("%s: %d objects, %v", file, len(objects), err)
			}
			all = append(all, objects...)
		}
	}
	return all
}

// TestManifests reads those that stand as they are; test/e2e builds the
// others.
func TestManifests(t *testing.T) {
	all := read(t, kubernetes+"base/*.yaml", kubernetes+"monitoring/*.yaml", deploy+"prometheus/prometheusrule.yaml", kubernetes+"examples/*/*.yaml")
	for _, wrong := range Check(all) {
		t.Error(wrong)
	}
	for _, o := range all {
		if o.Pod != nil {
			for _, broken := range Restricted(o.Pod) {
				t.Errorf("%s %s: %s", o.Kind, o.Meta.Name, broken)
			}
			known(t, o)
		}
	}
}

// known checks that every setting in a pod is one.
func known(t *testing.T, o Object) {
	t.Helper()
	for _, c := range containers(o.Pod) {
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, config.EnvPrefix) &&
				!slices.ContainsFunc(config.Describe(), func(d config.Description) bool { return d.Env == e.Name }) {
				t.Errorf("%s %s: %s is no setting", o.Kind, o.Meta.Name, e.Name)
			}
		}
	}
}

// TestComponents compares the parts of each component with one another.
func TestComponents(t *testing.T) {
	for _, component := range []string{"sidecar", "transparent"} {
		t.Run(component, func(t *testing.T) {
			dir := kubernetes + "components/" + component + "/"
			pod, cron := read(t, dir+"pod.yaml")[0], read(t, dir+"cronjob.yaml")[0]
			assert.Equal(t, cron.Pod, pod.Pod, "pod.yaml and cronjob.yaml differ")
			known(t, pod)
			if tap := pod.Pod.Spec.InitContainers[0]; tap.RestartPolicy == nil || *tap.RestartPolicy != corev1.ContainerRestartPolicyAlways || tap.StartupProbe == nil {
				t.Errorf("no native sidecar that programs wait for: %+v", tap)
			}
			spec := pod.Pod.DeepCopy()
			spec.Spec.Containers = []corev1.Container{*spec.Spec.InitContainers[0].DeepCopy()}
			spec.Spec.Containers[0].RestartPolicy = nil
			for _, broken := range Restricted(spec, "ksyun-tap-redirect") {
				t.Error(broken)
			}
			// The exception is one, and no wider than it says.
			if component == "transparent" {
				broken := strings.Join(Restricted(spec), "\n")
				for _, want := range []string{"ksyun-tap-redirect\" must not include \"NET_ADMIN\"", "runAsNonRoot != true", "runAsUser=0"} {
					assert.Contains(t, broken, want, "the redirect step does not break")
				}
				assert.Equal(t, 2, strings.Count(broken, "\n"), "the redirect step breaks more than it must:\n%s", broken)
			}

			var programs struct {
				Env         []corev1.EnvVar
				VolumeMount corev1.VolumeMount
				Kind        string
				APIVersion  string
				Metadata    struct{ Name string }
			}
			decodeFile(t, dir+"programs.yaml", &programs)
			var replacements []struct {
				Source  struct{ Kind, Name, FieldPath string }
				Targets []struct {
					Select, Options map[string]any
					Reject          []map[string]string
					FieldPaths      []string
				}
			}
			decodeFile(t, dir+"replacements.yaml", &replacements)
			var copied []string
			for _, r := range replacements {
				copied = append(copied, r.Source.FieldPath)
			}
			want := []string{}
			for _, e := range programs.Env {
				want = append(want, "env.[name="+e.Name+"]")
			}
			want = append(want, "volumeMount")
			assert.Equal(t, want, copied, "copied are")
		})
	}
}

func decodeFile(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	require.NoError(t, err, file)
}

// TestChart compares the chart with what it comes from.
func TestChart(t *testing.T) {
	const chart = deploy + "helm/ksyun-tap/"
	var schema struct {
		Definitions struct {
			Settings struct{ Properties map[string]any }
		}
	}
	text, err := os.ReadFile(chart + "values.schema.json")
	if err == nil {
		err = json.Unmarshal(text, &schema)
	}
	require.NoError(t, err, "schema")
	require.NotEmpty(t, schema.Definitions.Settings.Properties, "schema")
	for name := range schema.Definitions.Settings.Properties {
		if !slices.ContainsFunc(config.Describe(), func(d config.Description) bool { return d.Name == name }) {
			t.Errorf("%s is no setting: make generate", name)
		}
	}
	var meta struct{ Version, AppVersion string }
	text, err = os.ReadFile(chart + "Chart.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &meta)
	}
	require.NoError(t, err)
	for _, o := range read(t, kubernetes+"base/deployment.yaml", kubernetes+"components/*/pod.yaml") {
		for _, c := range containers(o.Pod) {
			if c.Image != "ksyun-tap:"+meta.AppVersion {
				t.Errorf("%s is %s, the chart's version is %s", c.Name, c.Image, meta.AppVersion)
			}
		}
	}
}

const goodPod = `
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  containers:
    - name: ksyun-tap
      image: i
      env: [{name: GOMEMLIMIT, value: 115MiB}]
      ports: [{name: web, containerPort: 80}]
      readinessProbe: {httpGet: {path: /, port: web}}
      resources: {limits: {memory: 128Mi}}
      volumeMounts: [{name: v, mountPath: /v}]
      securityContext:
        runAsNonRoot: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
  volumes: [{name: v, emptyDir: {}}]
---
# a comment alone
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  selector: {app: p}
  ports: [{port: 80, targetPort: web}]
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: m}
spec:
  selector: {matchLabels: {app: p}}
  podMetricsEndpoints: [{port: web}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec:
  podSelector: {matchLabels: {app: p}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: web}]}]
`

// TestFinds spoils good manifests one by one.
func TestFinds(t *testing.T) {
	f := func(want, old, next string) {
		t.Helper()
		require.Contains(t, goodPod, old, "no %q to spoil", old)
		all, err := Decode([]byte(strings.Replace(goodPod, old, next, 1)))
		found := Check(all)
		if err != nil {
			found = append(found, err.Error())
		}
		for _, o := range all {
			if o.Pod != nil {
				found = append(found, Restricted(o.Pod)...)
			}
		}
		if text := strings.Join(found, "\n"); want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("%q for %q: found %q, want %q", next, old, text, want)
		}
	}
	f("", "p", "p")
	f(`unknown field "spec.containers[0].imagee"`, "image: i", "imagee: i")
	f(`already set in map`, "image: i", "image: i\n      image: j")
	f(`of type string`, "value: 115MiB", "value: 115")
	f(`unknown kind "v1 Pot"`, "kind: Pod", "kind: Pot")
	f("GOMEMLIMIT=115MiB", "115MiB", "128MiB")
	f("which is not a volume", "volumeMounts: [{name: v,", "volumeMounts: [{name: w,")
	f("probed at wob", "port: web}}", "port: wob}}")
	f("selects no pod", "selector: {app: p}", "selector: {app: q}")
	f("selects no pod", "selector: {app: p}", "selector: {}")
	f("port wob belongs to 0", "targetPort: web", "targetPort: wob")
	f("port wob belongs to 0", "podMetricsEndpoints: [{port: web}]", "podMetricsEndpoints: [{port: wob}]")
	f("port wob belongs to 0", "ports: [{port: web}]}]", "ports: [{port: wob}]}]")
	f("allows all sources", "from: [{podSelector: {}}], ", "")
	f("is defined twice", "[{name: v, emptyDir: {}}]", "[{name: v, emptyDir: {}}, {name: v, emptyDir: {}}]")
	f("is defined twice", "name: s}", "name: s}\nspec: {selector: {app: p}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}")
	f("has GOMEMLIMIT twice", "env: [", "env: [{name: GOMEMLIMIT, value: 115MiB}, ")
	f("unrestricted capabilities", "capabilities: {drop: [ALL]}", "capabilities: {drop: [NET_RAW]}")
	f("seccompProfile", "seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}")
	f("hostPath", "emptyDir: {}", "hostPath: {path: /}")
	f("privileged", "runAsNonRoot: true", "runAsNonRoot: true\n        privileged: true")
	f("name: ", "name: s}", "name: S_}")
}
