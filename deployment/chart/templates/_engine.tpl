{{/* Whether runs are executed by pods of their own, and not by those that serve people. */}}
{{- define "skyflo.hasWorkers" -}}
{{- if eq .Values.engine.role "api" }}true{{ end -}}
{{- end -}}

{{/* The components that run the engine's image, separated by blanks. */}}
{{- define "skyflo.engineComponents" -}}
engine{{ if include "skyflo.hasWorkers" . }} worker{{ end -}}
{{- end -}}

{{/* The pods of one of these components as the source of a network policy. */}}
{{- define "skyflo.fromEngine" -}}
{{- range $component := splitList " " (include "skyflo.engineComponents" .) }}
- podSelector:
    matchLabels: {{- include "skyflo.selector" (dict "root" $ "component" $component) | nindent 6 }}
{{- end }}
{{- end -}}

{{/* The pods of a component that runs the engine's image, with their account, budget and autoscaler. */}}
{{- define "skyflo.engineWorkload" -}}
{{- $name := printf "%s-%s" (include "skyflo.name" .root) .component }}
{{- $values := index .root.Values .component }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "skyflo.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "skyflo.labels" . | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "skyflo.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  template:
    metadata:
      labels: {{- include "skyflo.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 45
      {{- include "skyflo.pod" . | nindent 6 }}
      initContainers:
        - name: migrations
          image: {{ include "skyflo.image" (dict "root" .root "part" "engine") }}
          {{- include "skyflo.container" . | nindent 10 }}
          # The database of a trial starts at the same time.
          command: [aerich, upgrade, --wait, "120"]
          env: {{- include "skyflo.engineVariables" . | nindent 12 }}
      containers:
        - name: {{ .component }}
          image: {{ include "skyflo.image" (dict "root" .root "part" "engine") }}
          {{- include "skyflo.container" . | nindent 10 }}
          ports:
            - {name: http, containerPort: 8080}
            {{- if .root.Values.metrics.enabled }}
            - {name: metrics, containerPort: 9464}
            {{- end }}
          env: {{- include "skyflo.engineVariables" . | nindent 12 }}
          {{- with .root.Values.model.apiKeySecret }}
          envFrom:
            - secretRef: {name: {{ . }}}
          {{- end }}
          startupProbe:
            httpGet: {path: /api/v1/health, port: http}
            periodSeconds: 2
            failureThreshold: 150  # a start takes 3 s of a core, which a busy node may stretch
          livenessProbe:
            httpGet: {path: /api/v1/health, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /api/v1/health/ready, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
          {{- if eq .component "engine" }}
          lifecycle:
            preStop: {sleep: {seconds: 5}}
          {{- end }}
---
{{ include "skyflo.disruptionBudget" . }}
{{- if $values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- include "skyflo.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ $values.autoscaling.minReplicas }}
  maxReplicas: {{ $values.autoscaling.maxReplicas }}
  metrics:
    {{- with $values.autoscaling.targetExecutingRuns }}
    - type: Pods
      pods:
        metric: {name: skyflo_runs_executing}
        target: {type: AverageValue, averageValue: {{ . | quote }}}
    {{- else }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $values.autoscaling.targetCPUUtilizationPercentage }}}
    {{- end }}
{{- end }}
{{- end -}}
