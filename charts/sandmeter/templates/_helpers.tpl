{{- define "sandmeter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of all resources: short enough for a label, and without repeating the chart's name. */}}
{{- define "sandmeter.fullname" -}}
{{- $name := include "sandmeter.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sandmeter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "sandmeter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sandmeter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sandmeter.labels" -}}
{{ include "sandmeter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The labels of an object and those of a value, which win: a list of the context and the value. */}}
{{- define "sandmeter.labelsWith" -}}
{{- toYaml (merge (dict) (default dict (index . 1)) (include "sandmeter.labels" (index . 0) | fromYaml)) -}}
{{- end -}}

{{- define "sandmeter.serviceAccountName" -}}
{{- default (ternary (include "sandmeter.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sandmeter.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- .Values.image.repository }}{{ ternary (printf "@%s" .Values.image.digest) (printf ":%s" $tag) (ne .Values.image.digest "") -}}
{{- end -}}

{{/* Not empty if a directory of the node must not be mounted, because other programs have their sockets, files, or
     secrets in it: first those that have directories of several programs, then those that nothing may be mounted of. */}}
{{- define "sandmeter.shared" -}}
{{- $path := regexReplaceAll "^/var/run(/|$)" (clean .) "/run${1}" -}}
{{- $several := list "/" "/home" "/media" "/mnt" "/opt" "/root" "/run" "/run/containerd" "/run/crio" "/run/docker" "/run/lock" "/run/systemd" "/run/user" "/srv" "/tmp" "/usr" "/usr/local" "/var" "/var/cache" "/var/lib" "/var/log" "/var/spool" "/var/tmp" -}}
{{- $none := "^/(bin|boot|dev|etc|lib(32|64|x32)?|proc|sbin|sys|usr/(local/)?(bin|lib(32|64|exec|x32)?|sbin)|var/lib/(containerd|docker|etcd|kubelet)|var/log/(containers|pods))(/|$)" -}}
{{- if or (has $path $several) (regexMatch $none $path) (regexMatch "(^|/)\\.\\.(/|$)" .) -}}
shared
{{- end -}}
{{- end -}}

{{/* The directory that a path of a value has to be in: a list of the value's name, the path, and the directory. */}}
{{- define "sandmeter.mount" -}}
{{- if include "sandmeter.shared" (index . 2) -}}
{{- fail (printf "%s: %s would mount %s, which has files of other programs. Name a path in a directory that has nothing else." (index . 0) (index . 1) (index . 2)) -}}
{{- end -}}
{{- index . 2 -}}
{{- end -}}

{{/* The directory to mount for a runtime root: the one above it, or above its first component with a glob, so that a root
     that is created later is found. If others use that, too, it is the root itself. */}}
{{- define "sandmeter.rootMount" -}}
{{- $fixed := regexReplaceAll "/[^/]*[*?\\[].*$" . "" -}}
{{- $above := ternary (dir .) (default "/" $fixed) (eq $fixed .) -}}
{{- if and (eq $fixed .) (include "sandmeter.shared" $above) (not (include "sandmeter.shared" .)) -}}
{{- . -}}
{{- else -}}
{{- include "sandmeter.mount" (list "roots" . $above) -}}
{{- end -}}
{{- end -}}

{{/* The directories of the node that the container gets, at the same paths: a map of paths to type and readOnly. */}}
{{- define "sandmeter.hostPaths" -}}
{{- $paths := dict "/sys/fs/cgroup" (dict "type" "Directory" "readOnly" true) -}}
{{- range .Values.runsc.paths -}}
{{- $_ := set $paths (dir .) (dict "type" "Directory" "readOnly" true) -}}
{{- end -}}
{{- range .Values.roots -}}
{{- $_ := set $paths (include "sandmeter.rootMount" .) (dict "type" "DirectoryOrCreate" "readOnly" true) -}}
{{- end -}}
{{- with .Values.finalMetricsLog -}}
{{- $_ := set $paths (include "sandmeter.mount" (list "finalMetricsLog" . (regexReplaceAll "/[^/]*%.*$" . "" | clean))) (dict "type" "DirectoryOrCreate" "readOnly" true) -}}
{{- end -}}
{{- if hasPrefix "/" (default "" .Values.finalRecords) -}}
{{- $dir := include "sandmeter.mount" (list "finalRecords" .Values.finalRecords (dir .Values.finalRecords)) -}}
{{- if hasKey $paths $dir -}}
{{- fail (printf "finalRecords: %s would make %s writable, which is mounted read-only for another value." .Values.finalRecords $dir) -}}
{{- end -}}
{{- $_ := set $paths $dir (dict "type" "DirectoryOrCreate" "readOnly" false) -}}
{{- end -}}
{{- toYaml $paths -}}
{{- end -}}

{{/* A volume's name for a path of the node: the path as far as a name permits, and a hash, which makes it unique. */}}
{{- define "sandmeter.volumeName" -}}
{{- $readable := regexReplaceAll "[^a-z0-9]+" (printf "host%s" . | lower) "-" | trunc 54 | trimSuffix "-" -}}
{{- printf "%s-%s" $readable (sha256sum . | trunc 8) -}}
{{- end -}}

{{/* A choice that may be off, which is false in YAML unless it is in quotes. */}}
{{- define "sandmeter.choice" -}}
{{- ternary "off" . (kindIs "bool" .) -}}
{{- end -}}

{{/* The arguments of the server. */}}
{{- define "sandmeter.args" -}}
{{- $args := list "serve" -}}
{{- if .Values.hostNetwork -}}
{{- $args = append $args (printf "--web.listen-address=[$(HOST_IP)]:%v" .Values.port) -}}
{{- $args = append $args (printf "--web.listen-address=127.0.0.1:%v" .Values.port) -}}
{{- else -}}
{{- $args = append $args (printf "--web.listen-address=:%v" .Values.port) -}}
{{- end -}}
{{- if .Values.web.configSecret -}}
{{- $args = append $args "--web.config.file=/etc/sandmeter/web/web.yml" -}}
{{- end -}}
{{- range .Values.roots -}}
{{- $args = append $args (printf "--root=%s" .) -}}
{{- end -}}
{{- range .Values.runsc.paths -}}
{{- $args = append $args (printf "--runsc=%s" .) -}}
{{- end -}}
{{- if .Values.registration.configMap -}}
{{- $args = append $args (printf "--runsc=/etc/sandmeter/registration/%s" .Values.registration.key) -}}
{{- end -}}
{{- $args = append $args (printf "--usage=%s" (include "sandmeter.choice" .Values.usage)) -}}
{{- $args = append $args (printf "--totals-by=%s" (include "sandmeter.choice" .Values.totals.by)) -}}
{{- range .Values.totals.metrics -}}
{{- $args = append $args (printf "--totals-metric=%s" .) -}}
{{- end -}}
{{- with .Values.finalMetricsLog -}}
{{- $args = append $args (printf "--final-metrics-log=%s" .) -}}
{{- end -}}
{{- with .Values.finalRecords -}}
{{- $args = append $args (printf "--final-records=%s" .) -}}
{{- end -}}
{{- toYaml (concat $args (default list .Values.extraArgs)) -}}
{{- end -}}

{{/* The privileges of the container. In the node's network namespace, the kernel tells how every process ended: before Linux
     6.6 only with CAP_NET_ADMIN, which the server drops at its start. */}}
{{- define "sandmeter.securityContext" -}}
{{- $context := deepCopy .Values.securityContext -}}
{{- if .Values.hostNetwork -}}
{{- $capabilities := default dict $context.capabilities -}}
{{- $_ := set $capabilities "add" (append (default list $capabilities.add) "NET_ADMIN" | uniq) -}}
{{- $_ := set $context "capabilities" $capabilities -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* The command of a probe. The server always listens on a loopback address. */}}
{{- define "sandmeter.health" -}}
{{- $command := list "/sandmeter" "health" (printf "--address=127.0.0.1:%v" .Values.port) (printf "--root=%s" (first .Values.roots)) -}}
{{- if .Values.web.probeSecret -}}
{{- $command = append $command "--web.client-config.file=/etc/sandmeter/client/client.yml" -}}
{{- end -}}
{{- toYaml $command -}}
{{- end -}}
