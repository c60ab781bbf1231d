{{/* Names and labels, as is usual in charts. */}}
{{- define "ksyun-tap.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ksyun-tap.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "ksyun-tap.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ksyun-tap.labels" -}}
{{ include "ksyun-tap.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ksyun-tap
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ksyun-tap.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ksyun-tap.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the standalone pods only. */}}
{{- define "ksyun-tap.proxyLabels" -}}
{{ include "ksyun-tap.selectorLabels" . }}
app.kubernetes.io/component: proxy
{{- end }}

{{- define "ksyun-tap.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The tap's environment: of the pod, the settings given as "defaults" under
those of the values, OpenTelemetry's, and "limit" as Go's memory limit. */}}
{{- define "ksyun-tap.tapEnv" -}}
{{- $values := .root.Values -}}
{{- $otel := $values.otel | default dict -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- $attributes := "k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.namespace.name=$(POD_NAMESPACE),k8s.node.name=$(NODE_NAME),k8s.container.name=ksyun-tap,service.instance.id=$(POD_NAMESPACE).$(POD_NAME).ksyun-tap" }}
{{- with get $otel "OTEL_RESOURCE_ATTRIBUTES" }}
{{- $attributes = printf "%s,%s" $attributes . }}
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ $attributes | quote }}
{{- range $name, $value := omit $otel "OTEL_RESOURCE_ATTRIBUTES" }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .limit }}
- name: GOMEMLIMIT # 90 % of the limit
  value: {{ include "ksyun-tap.nineTenths" . | quote }}
{{- end }}
{{- range $name, $value := merge (dict) ($values.settings | default dict) .defaults }}
- name: KSYUN_TAP_{{ $name | replace "." "_" | replace "-" "_" | upper }}
  value: {{ include "ksyun-tap.value" $value | quote }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A setting as the environment has it: several values on a line each. Numbers
come as floats, which would be spelled 1e+06. */}}
{{- define "ksyun-tap.value" -}}
{{- if kindIs "slice" . }}
{{- join "\n" . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}
{{- int64 . }}
{{- else }}
{{- . }}
{{- end }}
{{- end }}

{{/* 90 % of a quantity in Mi or Gi; the schema accepts no other unit. */}}
{{- define "ksyun-tap.nineTenths" -}}
{{- $mebi := ternary 1 1024 (hasSuffix "Mi" .) -}}
{{- div (mul (trimSuffix "Mi" (trimSuffix "Gi" .) | int64) $mebi 9) 10 }}MiB
{{- end }}

{{/* Probes of the web listener; "period" is the readiness probe's. */}}
{{- define "ksyun-tap.probes" -}}
startupProbe:
  httpGet: {path: /-/ready, port: tap-metrics}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe: # checks listeners and settings, never the API
  httpGet: {path: /-/ready, port: tap-metrics}
  periodSeconds: {{ .period }}
livenessProbe:
  httpGet: {path: /-/healthy, port: tap-metrics}
  periodSeconds: 10
{{- end }}

{{/* What the restricted Pod Security Standard requires of a container. */}}
{{- define "ksyun-tap.restricted" -}}
runAsNonRoot: true
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The journal's file: the mount and the volume. */}}
{{- define "ksyun-tap.journalMount" -}}
- name: ksyun-tap-journal
  mountPath: /var/lib/tap
{{- end }}

{{- define "ksyun-tap.journalVolume" -}}
- name: ksyun-tap-journal
  {{- if .Values.journal.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .Values.journal.existingClaim | quote }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .Values.journal.sizeLimit }}}
  {{- end }}
{{- end }}
