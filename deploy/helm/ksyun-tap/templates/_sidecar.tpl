{{/*
Templates for the pods of your chart. Give each the context of this chart, which
yours has as a dependency named ksyun-tap:

  {{- $tap := index .Subcharts "ksyun-tap" }}
  metadata:
    labels: {{- include "ksyun-tap.podLabels" $tap | nindent 6 }}
  spec:
    initContainers: {{- include "ksyun-tap.sidecar" $tap | nindent 6 }}
    containers:
      - name: program
        env: {{- include "ksyun-tap.env" $tap | nindent 10 }}
        volumeMounts: {{- include "ksyun-tap.volumeMounts" $tap | nindent 10 }}
    volumes: {{- include "ksyun-tap.volumes" $tap | nindent 6 }}

Each renders list entries, or labels, so that yours may stand beside them.
*/}}

{{- define "ksyun-tap.podLabels" -}}
ksyun-tap/scrape: "true"
{{- end }}

{{/* The tap. It must come before init containers whose calls are to be tapped. */}}
{{- define "ksyun-tap.sidecar" -}}
{{- $transparent := eq .Values.sidecar.way "transparent" }}
{{- $user := ternary 18183 65532 $transparent }}
{{- $defaults := dict "web.listen-address" ":18180" "web.admin-listen-address" "127.0.0.1:18184" "proxy.shutdown-timeout" "500ms" }}
{{- if .Values.sidecar.intercept }}
{{- $_ := set $defaults "intercept" true }}
{{- $_ := set $defaults "intercept.ca-dir" "/var/lib/ksyun-tap/ca" }}
{{- $_ := set $defaults "intercept.publish-dir" "/run/ksyun-tap/trust" }}
{{- end }}
{{- if .Values.journal.enabled }}
{{- $_ := set $defaults "journal.path" "/var/lib/tap/journal.db" }}
{{- end }}
{{- if $transparent }}
{{- $_ := set $defaults "transparent.listen-address" ":18183" }}
{{- else }}
{{- $_ := set $defaults "tap.other-hosts" "pass" }}
{{- end -}}
- name: ksyun-tap
  image: {{ include "ksyun-tap.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always # a native sidecar: it starts before the programs and ends after them
  env:
    {{- include "ksyun-tap.tapEnv" (dict "root" . "defaults" $defaults "limit" (dig "limits" "memory" "" .Values.sidecar.resources)) | nindent 4 }}
  ports:
    - name: tap-metrics # not "metrics": a program may have a port of that name, and PodMonitors would scrape both
      containerPort: 18180
  {{- include "ksyun-tap.probes" (dict "period" 10) | nindent 2 }}
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  securityContext:
    runAsUser: {{ $user }}
    runAsGroup: {{ $user }}
    {{- include "ksyun-tap.restricted" . | nindent 4 }}
  {{- if or .Values.sidecar.intercept .Values.journal.enabled .Values.extraVolumeMounts }}
  volumeMounts:
    {{- if .Values.sidecar.intercept }}
    - name: ksyun-tap-ca
      mountPath: /var/lib/ksyun-tap
    - name: ksyun-tap-trust
      mountPath: /run/ksyun-tap/trust
    {{- end }}
    {{- if .Values.journal.enabled }}
    {{- include "ksyun-tap.journalMount" . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- if $transparent }}
- name: ksyun-tap-redirect
  image: {{ include "ksyun-tap.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [init-redirect, --to-port=18183, --exclude-uid=18183]
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  # The only exception to the restricted Pod Security Standard: installing the
  # rules needs root with NET_ADMIN, once, in the pod's network namespace.
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL], add: [NET_ADMIN]}
    seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- end }}

{{/* The environment variables of programs. */}}
{{- define "ksyun-tap.env" -}}
{{- $proxy := ne .Values.sidecar.way "transparent" }}
{{- if $proxy }}
- name: TAPPED_NAMESPACE # before what refers to it
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- range tuple "HTTP_PROXY" "HTTPS_PROXY" "http_proxy" "https_proxy" }}
- name: {{ . }}
  value: http://127.0.0.1:18181
{{- end }}
{{- range tuple "NO_PROXY" "no_proxy" }}
- name: {{ . }}
  value: {{ join "," $.Values.sidecar.noProxy | quote }}
{{- end }}
- name: NODE_USE_ENV_PROXY
  value: "1"
{{- end }}
{{- if .Values.sidecar.intercept }}
{{- range tuple "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" "AWS_CA_BUNDLE" "KS_CA_BUNDLE" }}
- name: {{ . }}
  value: /run/ksyun-tap/trust/bundle.pem
{{- end }}
- name: NODE_EXTRA_CA_CERTS
  value: /run/ksyun-tap/trust/ca.pem
{{- end }}
{{- end }}

{{/* The mounts of programs' containers: certificates, never the key. */}}
{{- define "ksyun-tap.volumeMounts" -}}
{{- if .Values.sidecar.intercept -}}
- name: ksyun-tap-trust
  mountPath: /run/ksyun-tap/trust
  readOnly: true
{{- end }}
{{- end }}

{{- define "ksyun-tap.volumes" -}}
{{- if .Values.sidecar.intercept -}}
- name: ksyun-tap-ca # the key: for the tap only; it outlives a restart of the container
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: ksyun-tap-trust # the certificates that programs read
  emptyDir: {medium: Memory, sizeLimit: 4Mi}
{{- end }}
{{- if .Values.journal.enabled }}
{{ include "ksyun-tap.journalVolume" . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
