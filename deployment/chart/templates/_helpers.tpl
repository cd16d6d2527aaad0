{{- define "skyflo.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "skyflo.selector" -}}
app.kubernetes.io/name: skyflo
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "skyflo.labels" -}}
{{ include "skyflo.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "skyflo.image" -}}
{{- $name := printf "skyflo-%s:%s" .part (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- with .root.Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $name -}}
{{- end -}}

{{- define "skyflo.secret" -}}
{{- .Values.existingSecret | default (printf "%s-keys" (include "skyflo.name" .)) -}}
{{- end -}}

{{- define "skyflo.publicUrl" -}}
{{- if .Values.publicUrl -}}
{{- .Values.publicUrl -}}
{{- else if .Values.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" (not (empty .Values.ingress.tlsSecret))) .Values.ingress.host -}}
{{- end -}}
{{- end -}}

{{/* Pods run as a user without rights, on a file system that they can't write. */}}
{{- define "skyflo.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "skyflo.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* One key of the Secret as a variable. */}}
{{- define "skyflo.key" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ include "skyflo.secret" .root }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}}
{{- end -}}

{{/* Further settings as variables. Those that the chart sets itself are refused: a container has each variable once. */}}
{{- define "skyflo.settings" -}}
{{- $own := dict "LLM_MODEL" "model.name" "LLM_HOST" "model.host" "PUBLIC_URL" "publicUrl" "METRICS_ADDRESS" "metrics.enabled"
      "KUBERNETES_IMPERSONATE" "rbac.impersonate" "SKYFLO_TOOLS_MODE" "rbac.mode" "ENGINE_ROLE" "engine.role" -}}
{{- range list "JWT_SECRET" "AUDIT_KEY" "CREDENTIALS_KEY" "MCP_SERVER_TOKEN" "MCP_GRANT_KEY" "POSTGRES_DATABASE_URL" "REDIS_URL"
      "METRICS_TOKEN" "SKYFLO_TOOLS_TOKEN" "SKYFLO_TOOLS_GRANT_KEY" "SKYFLO_TOOLS_DATABASE_URL" }}
{{- $_ := set $own . "the key of existingSecret" }}
{{- end }}
{{- range $name, $value := . }}
{{- with index $own $name }}
{{- fail (printf "The chart sets %s itself: instead of it in settings, set %s." $name .) }}
{{- end }}
- name: {{ $name }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end -}}

{{/* The settings of a component that runs the engine's image. */}}
{{- define "skyflo.engineVariables" -}}
{{- range list "JWT_SECRET" "AUDIT_KEY" "CREDENTIALS_KEY" "MCP_SERVER_TOKEN" "MCP_GRANT_KEY" "POSTGRES_DATABASE_URL" }}
{{ include "skyflo.key" (dict "root" $.root "variable" . "key" .) }}
{{- end }}
{{ include "skyflo.key" (dict "root" .root "variable" "REDIS_URL" "key" "REDIS_URL") }}
{{- if not (hasKey .root.Values.engine.settings "MCP_SERVER_URL") }}
- name: MCP_SERVER_URL
  value: http://{{ include "skyflo.name" .root }}-tools:8090/mcp
{{- end }}
{{- if include "skyflo.hasWorkers" .root }}
- name: ENGINE_ROLE
  value: {{ ternary "worker" "api" (eq .component "worker") }}
{{- end }}
- name: LLM_MODEL
  value: {{ .root.Values.model.name | quote }}
{{- with .root.Values.model.host }}
- name: LLM_HOST
  value: {{ . | quote }}
{{- end }}
{{- with include "skyflo.publicUrl" .root }}
- name: PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- if not (hasKey .root.Values.engine.settings "INTEGRATIONS_SECRETS") }}
- name: INTEGRATIONS_SECRETS
  value: local
{{- end }}
{{- if .root.Values.rbac.impersonate }}
- name: KUBERNETES_IMPERSONATE
  value: "true"
{{- end }}
{{- if .root.Values.metrics.enabled }}
- name: METRICS_ADDRESS
  value: ":9464"
{{ include "skyflo.key" (dict "root" .root "variable" "METRICS_TOKEN" "key" "METRICS_TOKEN") }}
{{- end }}
{{- include "skyflo.settings" .root.Values.engine.settings }}
{{- end -}}

{{/* Where the pods of engine and tool server run, from where their image comes, and what they may write. */}}
{{- define "skyflo.pod" -}}
enableServiceLinks: false
securityContext: {{- include "skyflo.podSecurity" 10001 | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "skyflo.selector" . | nindent 8 }}
volumes:
  - name: data
    emptyDir: {}
  - name: tmp
    emptyDir: {}
{{- range $name := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.root.Values $.component $name }}
{{ $name }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The limits of one of their containers. */}}
{{- define "skyflo.container" -}}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
resources: {{- toYaml (index .root.Values .component).resources | nindent 2 }}
securityContext: {{- include "skyflo.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "skyflo.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "skyflo.name" .root }}-{{ .component }}
  labels: {{- include "skyflo.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "skyflo.selector" . | nindent 6 }}
{{- end -}}
