package manifest

import (
	"fmt"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Restricted returns the violations of the restricted Pod Security Standard by a
// pod, without those of the init containers named in except.
func Restricted(pod *corev1.PodTemplateSpec, except ...string) []string {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	spec := pod.Spec.DeepCopy()
	spec.InitContainers = slices.DeleteFunc(spec.InitContainers, func(c corev1.Container) bool { return slices.Contains(except, c.Name) })
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var broken []string
	for _, r := range evaluator.EvaluatePod(level, &pod.ObjectMeta, spec) {
		if !r.Allowed {
			broken = append(broken, r.ForbiddenReason+": "+r.ForbiddenDetail)
		}
	}
	return broken
}

// Check returns the errors in manifests that are applied together.
func Check(all []Object) []string {
	var c checker
	seen := map[string]bool{}
	for _, o := range all {
		id := o.Kind + " " + o.Meta.Namespace + "/" + o.Meta.Name
		if seen[id] {
			c.say(o, "is defined twice")
		}
		seen[id] = true
		for _, m := range validation.IsDNS1123Subdomain(o.Meta.Name) {
			c.say(o, "name: %s", m)
		}
		c.labels(o, o.Meta.Labels)
		if o.Pod != nil {
			c.labels(o, o.Pod.Labels)
			c.pod(o)
		}
	}
	for _, o := range all {
		switch v := o.Value.(type) {
		case *appsv1.Deployment:
			c.selects(o, *v.Spec.Selector, []Object{o})
		case *corev1.Service:
			c.service(o, v, all)
		case *policyv1.PodDisruptionBudget:
			c.selects(o, *v.Spec.Selector, all)
		case *networkingv1.NetworkPolicy:
			c.policy(o, v, all)
		case *monitoringv1.PodMonitor:
			c.monitor(o, v, all)
		case *corev1.ConfigMap:
			// kubectl apply stores the object in an annotation, which is limited to
			// 256 KiB.
			for key, text := range v.Data {
				if len(text) > 240<<10 {
					c.say(o, "%s has %d bytes, too many for kubectl apply", key, len(text))
				}
			}
		}
	}
	return c.wrong
}

type checker struct{ wrong []string }

func (c *checker) say(o Object, format string, args ...any) {
	c.wrong = append(c.wrong, o.Kind+" "+o.Meta.Name+": "+fmt.Sprintf(format, args...))
}

func (c *checker) labels(o Object, set map[string]string) {
	for name, value := range set {
		for _, m := range slices.Concat(validation.IsQualifiedName(name), validation.IsValidLabelValue(value)) {
			c.say(o, "label %s=%s: %s", name, value, m)
		}
	}
}

// containers returns all containers of a pod.
func containers(pod *corev1.PodTemplateSpec) []corev1.Container {
	return slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
}

// pod checks that the names in a pod are unique and refer to something.
func (c *checker) pod(o Object) {
	volumes := map[string]bool{}
	for _, v := range o.Pod.Spec.Volumes {
		if volumes[v.Name] {
			c.say(o, "volume %s is defined twice", v.Name)
		}
		volumes[v.Name] = true
	}
	names := map[string]bool{}
	for _, container := range containers(o.Pod) {
		if names[container.Name] || container.Image == "" {
			c.say(o, "container %s is defined twice, or has no image", container.Name)
		}
		names[container.Name] = true
		env := map[string]bool{}
		for _, e := range container.Env {
			if env[e.Name] || e.Value != "" && e.ValueFrom != nil {
				c.say(o, "container %s has %s twice", container.Name, e.Name)
			}
			env[e.Name] = true
		}
		for _, m := range container.VolumeMounts {
			if !volumes[m.Name] {
				c.say(o, "container %s mounts %s, which is not a volume", container.Name, m.Name)
			}
		}
		for _, probe := range []*corev1.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
			if probe != nil && probe.HTTPGet != nil && !has(container, probe.HTTPGet.Port) {
				c.say(o, "container %s is probed at %s, where it has no port", container.Name, probe.HTTPGet.Port.String())
			}
		}
		for _, p := range container.Ports {
			if p.Name != "" {
				for _, m := range validation.IsValidPortName(p.Name) {
					c.say(o, "port %s: %s", p.Name, m)
				}
			}
		}
		c.memory(o, container)
	}
}

// memory checks that Go's memory limit is 90 % of the container's.
func (c *checker) memory(o Object, container corev1.Container) {
	limit, limited := container.Resources.Limits[corev1.ResourceMemory]
	i := slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if !limited || container.Name != "ksyun-tap" {
		if i >= 0 {
			c.say(o, "container %s has GOMEMLIMIT but no memory limit", container.Name)
		}
		return
	}
	if want := fmt.Sprintf("%dMiB", limit.Value()*9/10>>20); i < 0 || container.Env[i].Value != want {
		c.say(o, "container %s does not have GOMEMLIMIT=%s", container.Name, want)
	}
}

// has reports whether a container has a port with the given number or name.
func has(container corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool {
		if port.Type == intstr.String {
			return p.Name == port.StrVal
		}
		return p.ContainerPort == port.IntVal
	})
}

// selects returns the pods among all that are selected, and reports an error if
// there are none.
func (c *checker) selects(o Object, selector metav1.LabelSelector, all []Object) []*corev1.PodTemplateSpec {
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		c.say(o, "selector: %v", err)
		return nil
	}
	var pods []*corev1.PodTemplateSpec
	for _, other := range all {
		if other.Pod != nil && !s.Empty() && s.Matches(labels.Set(other.Pod.Labels)) {
			pods = append(pods, other.Pod)
		}
	}
	if len(pods) == 0 {
		c.say(o, "selects no pod by %q", s)
	}
	return pods
}

// port checks that all pods have a port.
func (c *checker) port(o Object, port intstr.IntOrString, pods []*corev1.PodTemplateSpec) {
	for _, pod := range pods {
		n := 0
		for _, container := range containers(pod) {
			if has(container, port) {
				n++
			}
		}
		if n != 1 {
			c.say(o, "port %s belongs to %d containers", port.String(), n)
		}
	}
}

func (c *checker) service(o Object, s *corev1.Service, all []Object) {
	pods := c.selects(o, metav1.LabelSelector{MatchLabels: s.Spec.Selector}, all)
	for _, p := range s.Spec.Ports {
		c.port(o, p.TargetPort, pods)
	}
}

func (c *checker) policy(o Object, p *networkingv1.NetworkPolicy, all []Object) {
	pods := c.selects(o, p.Spec.PodSelector, all)
	for _, rule := range p.Spec.Ingress {
		if len(rule.From) == 0 || len(rule.Ports) == 0 {
			c.say(o, "a rule allows all sources or all ports")
		}
		for _, port := range rule.Ports {
			c.port(o, *port.Port, pods)
		}
	}
	for _, rule := range p.Spec.Egress {
		if len(rule.To) == 0 || len(rule.Ports) == 0 {
			c.say(o, "a rule allows all destinations or all ports")
		}
	}
}

func (c *checker) monitor(o Object, m *monitoringv1.PodMonitor, all []Object) {
	// The pods may be in other manifests; the port is the taps'.
	for _, other := range all {
		s, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
		if err != nil || s.Empty() {
			c.say(o, "selector %q: %v", s, err)
			return
		}
		if other.Pod == nil || !s.Matches(labels.Set(other.Pod.Labels)) {
			continue
		}
		for _, e := range m.Spec.PodMetricsEndpoints {
			if e.Port == nil || strings.TrimSpace(*e.Port) == "" {
				c.say(o, "an endpoint has no port")
				continue
			}
			c.port(o, intstr.FromString(*e.Port), []*corev1.PodTemplateSpec{other.Pod})
		}
	}
}
