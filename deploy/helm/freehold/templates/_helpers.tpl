{{- define "freehold.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "freehold.selector" -}}
app.kubernetes.io/name: freehold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "freehold.labels" -}}
{{ include "freehold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "freehold.account" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "freehold.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "freehold.host" -}}
{{- (urlParse .Values.publicUrl).hostname -}}
{{- end }}

{{/* name of the setting -> key in the Secret; what every process wants, and what only the worker does */}}
{{- define "freehold.secretFiles" -}}
{{- $keys := .root.Values.secrets.keys -}}
{{- $files := dict
  "FREEHOLD_SECRET_KEY_FILE" $keys.secretKey
  "FREEHOLD_ENCRYPTION_KEYS_FILE" $keys.encryptionKeys
  "DATABASE_URL_FILE" $keys.databaseUrl
  "REDIS_URL_FILE" $keys.redisUrl
  "PULUMI_BACKEND_URL_FILE" $keys.pulumiBackendUrl -}}
{{- if eq .role "worker" -}}
{{- if $keys.pulumiPassphrase }}{{ $_ := set $files "PULUMI_CONFIG_PASSPHRASE_FILE" $keys.pulumiPassphrase }}{{ end -}}
{{- if $keys.emailUrl }}{{ $_ := set $files "FREEHOLD_EMAIL_URL_FILE" $keys.emailUrl }}{{ end -}}
{{- if $keys.modelApiKey }}{{ $_ := set $files "MODEL_API_KEY_FILE" $keys.modelApiKey }}{{ end -}}
{{- end -}}
{{- toJson $files -}}
{{- end }}

{{- define "freehold.secretEnv" -}}
{{- range $name, $key := include "freehold.secretFiles" . | fromJson }}
- name: {{ $name }}
  value: /etc/freehold/secrets/{{ $key }}
{{- end }}
{{- end }}

{{- define "freehold.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ .root.Values.secrets.existingSecret }}
    defaultMode: 0440
    items:
    {{- range $name, $key := include "freehold.secretFiles" . | fromJson }}
      - {key: {{ $key }}, path: {{ $key }}}
    {{- end }}
{{- end }}

{{- define "freehold.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "freehold.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "freehold.image" -}}
image: {{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* What the pods of web, worker and scheduler share: head (before containers), container, and volumes. */}}
{{- define "freehold.podMetadata" -}}
labels:
  {{- include "freehold.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .role }}
annotations:
  # Settings are read once: pods are renewed when they change.
  checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
  {{- with (index .root.Values .role).podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "freehold.podHead" -}}
serviceAccountName: {{ include "freehold.account" .root }}
# A Service called freehold would set FREEHOLD_PORT, which is a setting of ours.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "freehold.podSecurity" .root | nindent 2 }}
{{- with (index .root.Values .role).nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index .root.Values .role).tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if ne .role "scheduler" }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "freehold.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.role }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "freehold.container" -}}
{{ include "freehold.image" .root }}
securityContext:
  {{- include "freehold.containerSecurity" .root | nindent 2 }}
envFrom:
  - configMapRef:
      name: {{ include "freehold.name" .root }}-settings
resources:
  {{- toYaml (index .root.Values .role).resources | nindent 2 }}
volumeMounts:
  - {name: home, mountPath: /var/lib/freehold}
  - {name: tmp, mountPath: /tmp}
  - {name: secrets, mountPath: /etc/freehold/secrets, readOnly: true}
  {{- if or .root.Values.targets.file .root.Values.files }}
  - {name: files, mountPath: /etc/freehold/files, readOnly: true}
  {{- end }}
  {{- if .root.Values.targets.kubeconfigSecret }}
  - {name: kubeconfig, mountPath: /etc/freehold/kubeconfig, readOnly: true}
  {{- end }}
{{- end }}

{{- define "freehold.volumes" -}}
volumes:
  - name: home
    emptyDir: {sizeLimit: {{ .homeSize }}}
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  {{- include "freehold.secretVolume" . | nindent 2 }}
  {{- if or .root.Values.targets.file .root.Values.files }}
  - name: files
    configMap: {name: {{ include "freehold.name" .root }}-files}
  {{- end }}
  {{- if .root.Values.targets.kubeconfigSecret }}
  - name: kubeconfig
    secret:
      secretName: {{ .root.Values.targets.kubeconfigSecret }}
      defaultMode: 0440
      items:
        - {key: {{ .root.Values.targets.kubeconfigKey }}, path: config}
  {{- end }}
{{- end }}
