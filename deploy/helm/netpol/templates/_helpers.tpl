{{- define "netpol.labels" -}}
app.kubernetes.io/name: netpol
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
