// Package manifest decodes Kubernetes manifests as strictly as an API server with
// field validation does, and checks what involves several fields: that names refer
// to something, and that pods follow the restricted Pod Security Standard. It is
// for tests.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Object is a decoded manifest. Value has the type *T.
type Object struct {
	Kind  string
	Meta  metav1.ObjectMeta
	Value any
	// Pod is the template of the pods that it creates, or nil if it creates none.
	Pod *corev1.PodTemplateSpec
}

// header holds the fields that identify the type of a manifest.
type header struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

// kinds lists the known types of manifests, and where their pod templates are.
var kinds = map[string]func() (value any, pod func() *corev1.PodTemplateSpec){
	"v1 ConfigMap": plain[corev1.ConfigMap],
	"v1 Service":   plain[corev1.Service],
	"v1 Pod": func() (any, func() *corev1.PodTemplateSpec) {
		p := &corev1.Pod{}
		return p, func() *corev1.PodTemplateSpec {
			return &corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
		}
	},
	"apps/v1 Deployment": func() (any, func() *corev1.PodTemplateSpec) {
		d := &appsv1.Deployment{}
		return d, func() *corev1.PodTemplateSpec { return &d.Spec.Template }
	},
	"apps/v1 StatefulSet": func() (any, func() *corev1.PodTemplateSpec) {
		s := &appsv1.StatefulSet{}
		return s, func() *corev1.PodTemplateSpec { return &s.Spec.Template }
	},
	"apps/v1 DaemonSet": func() (any, func() *corev1.PodTemplateSpec) {
		d := &appsv1.DaemonSet{}
		return d, func() *corev1.PodTemplateSpec { return &d.Spec.Template }
	},
	"batch/v1 Job": func() (any, func() *corev1.PodTemplateSpec) {
		j := &batchv1.Job{}
		return j, func() *corev1.PodTemplateSpec { return &j.Spec.Template }
	},
	"batch/v1 CronJob": func() (any, func() *corev1.PodTemplateSpec) {
		c := &batchv1.CronJob{}
		return c, func() *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template }
	},
	"networking.k8s.io/v1 NetworkPolicy":      plain[networkingv1.NetworkPolicy],
	"policy/v1 PodDisruptionBudget":           plain[policyv1.PodDisruptionBudget],
	"monitoring.coreos.com/v1 PodMonitor":     plain[monitoringv1.PodMonitor],
	"monitoring.coreos.com/v1 PrometheusRule": plain[monitoringv1.PrometheusRule],
}

func plain[T any]() (any, func() *corev1.PodTemplateSpec) {
	return new(T), func() *corev1.PodTemplateSpec { return nil }
}

// Decode decodes manifests. Unknown and repeated fields are errors, and so are
// unknown kinds.
func Decode(text []byte) ([]Object, error) {
	var all []Object
	documents := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var fields map[string]any
		if err := yaml.Unmarshal(document, &fields); err == nil && len(fields) == 0 {
			continue // only comments
		}
		o, err := decode(document)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
}

func decode(document []byte) (Object, error) {
	var h header
	if err := yaml.Unmarshal(document, &h); err != nil {
		return Object{}, err
	}
	name := h.APIVersion + " " + h.Kind
	kind, ok := kinds[name]
	if !ok {
		return Object{}, fmt.Errorf("unknown kind %q", name)
	}
	value, pod := kind()
	// It is converted to JSON first, as for an API server, so that a number is not
	// accepted as a string.
	text, err := yaml.YAMLToJSONStrict(document)
	if err == nil {
		var strict []error
		if strict, err = json.UnmarshalStrict(text, value); err == nil {
			err = errors.Join(strict...)
		}
	}
	if err != nil {
		return Object{}, fmt.Errorf("%s %s: %w", h.Kind, h.Name, err)
	}
	return Object{Kind: h.Kind, Meta: h.ObjectMeta, Value: value, Pod: pod()}, nil
}
