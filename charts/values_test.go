package charts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"go.yaml.in/yaml/v3"
	core "k8s.io/api/core/v1"
)

const valuesFile, schemaFile, readmeFile = chartDir + "/values.yaml", chartDir + "/values.schema.json", chartDir + "/README.md"

// A value is a documented value of the chart.
type value struct{ name, preset, meaning string }

// documented returns the values of values.yaml in their order. A map whose keys have comments is a
// group of values, and every other one with a comment is a value.
func documented(t *testing.T) []value {
	t.Helper()
	text, err := os.ReadFile(valuesFile)
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return documentedIn(t, document.Content[0], "")
}

func documentedIn(t *testing.T, node *yaml.Node, prefix string) (all []value) {
	t.Helper()
	for i := 0; i < len(node.Content); i += 2 {
		key, val := node.Content[i], node.Content[i+1]
		name, meaning := prefix+key.Value, comment(key)
		switch {
		case meaning != "":
			all = append(all, value{name, preset(t, val), meaning})
		case val.Kind == yaml.MappingNode && len(val.Content) > 0:
			all = append(all, documentedIn(t, val, name+".")...)
		default:
			t.Errorf("%s: %s has no comment", valuesFile, name)
		}
	}
	return all
}

// comment returns the last paragraph of the comment above a key, on one line.
func comment(key *yaml.Node) string {
	paragraphs := strings.Split(key.HeadComment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.Fields(strings.TrimPrefix(line, "#"))...)
	}
	return strings.Join(words, " ")
}

// preset returns a default as JSON.
func preset(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var v any
	if err := node.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text.String())
}

// maxPreset is how long a default may be to stand in the table.
const maxPreset = 100

// TestReadme checks that the table of values in the README is that of values.yaml.
func TestReadme(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | meaning |\n| --- | --- | --- |\n")
	for _, v := range documented(t) {
		if len(v.preset) > maxPreset {
			v.preset = "see values.yaml"
		} else {
			v.preset = "`" + v.preset + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.name, v.preset, strings.ReplaceAll(v.meaning, "|", "\\|"))
	}
	readme, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin of the generated table -->\n", "<!-- end of the generated table -->\n"
	head, rest, ok := strings.Cut(string(readme), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", readmeFile)
	}
	current(t, readmeFile, head+begin+table.String()+end+tail)
}

// A schema is a part of values.schema.json.
type schema struct {
	Additional any `json:"additionalProperties"`
	Properties map[string]schema
}

// TestSchema checks that the schema has the values of values.yaml and no others, so that a mistyped
// one is an error.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	delete(s.Properties, "global") // helm's own
	var want []string
	for _, v := range documented(t) {
		want = append(want, v.name)
	}
	slices.Sort(want)
	if have := slices.Sorted(maps.Keys(s.leaves(t, ""))); !slices.Equal(have, want) {
		t.Errorf("the schema has %q, and values.yaml has %q", have, want)
	}
}

// leaves returns the names of values that are no groups.
func (s schema) leaves(t *testing.T, prefix string) map[string]bool {
	t.Helper()
	if s.Additional != false {
		t.Errorf("the schema permits other values in %q", prefix)
	}
	names := map[string]bool{}
	for name, property := range s.Properties {
		if len(property.Properties) == 0 {
			names[prefix+name] = true
			continue
		}
		maps.Copy(names, property.leaves(t, prefix+name+"."))
	}
	return names
}

// TestRefused has values that the chart refuses, and a part of the error.
func TestRefused(t *testing.T) {
	f := func(v values, want string) {
		t.Helper()
		if _, err := render(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one with %q", v, err, want)
		}
	}
	roots := func(roots ...any) values { return values{"roots": roots} }

	f(values{"root": "/run/runsc"}, "root")
	f(values{"image": values{"name": "x"}}, "name")
	f(values{"image": values{"digest": "sha256:1"}}, "digest")
	f(values{"usage": "all"}, "usage")
	f(values{"totals": values{"by": "annotation:"}}, "by")
	f(values{"finalMetricsLog": "/var/log/runsc/metrics"}, "finalMetricsLog")
	f(values{"finalRecords": "/records"}, "finalRecords")
	f(values{"port": 0}, "port")
	f(values{"podMonitor": values{"interval": "30"}}, "interval")
	f(values{"networkPolicy": values{"from": []any{}}}, "from") // would let everybody scrape
	f(values{"web": values{"configSecret": "tls"}}, "web.configSecret needs web.probeSecret")

	f(values{"hostNetwork": true}, "hostNetwork needs web.configSecret")
	f(values{"hostNetwork": true, "web": values{"probeSecret": "client"}}, "hostNetwork needs web.configSecret")

	f(roots(), "roots")
	f(roots("run/runsc"), "roots")
	f(roots("/run/containerd/runsc/*", "/run/containerd/runsc/k8s.io"), "The first root must be a directory")
	// These mounts would have the sockets of daemons.
	f(roots("/run"), "would mount /")
	f(roots("/run/containerd"), "would mount /run")
	f(roots("/run/containerd/runsc/k8s.io", "/run/*"), "would mount /run")
	f(roots("/run/containerd/runsc/k8s.io", "/run/containerd/*/k8s.io"), "would mount /run/containerd")
	f(roots("/run/containerd/runsc/k8s.io", "/var/[rt]*/runsc"), "would mount /var")

	// Final records make no directory writable that the server only reads.
	for _, path := range []string{"/run/containerd/runsc/records", "/opt/gvisor/records", "/data/runsc/records"} {
		f(values{"finalRecords": path, "finalMetricsLog": "/data/runsc/%ID%", "runsc": values{"paths": []any{"/opt/gvisor/runsc"}}},
			"finalRecords: "+path+" would make ")
	}
}

// TestNull sets every value, and every group of values, to null, with which Helm removes the default.
// The schema refuses that for those that the templates need, or without which the pod would have more
// privileges or be open to more peers.
func TestNull(t *testing.T) {
	needed := []string{
		"image", "image.repository", "image.digest", "roots", "runsc", "registration", "registration.key", "usage", "totals", "totals.by", "port", "web",
		"securityContext", "serviceAccount", "serviceAccount.create", "networkPolicy", "networkPolicy.enabled", "networkPolicy.from", "podMonitor",
		"prometheusRule", "dashboards",
	}
	var refused []string
	for _, name := range names(t) {
		keys := strings.Split(name, ".")
		var v any
		for _, key := range slices.Backward(keys) {
			v = values{key: v}
		}
		r, err := render(v.(values))
		if err != nil && strings.Contains(err.Error(), "missing property '"+keys[len(keys)-1]+"'") {
			refused = append(refused, name)
			continue
		}
		if err != nil || strings.Contains(r.Manifest, "<nil>") {
			t.Errorf("%s: error %v, or nil in the manifest", name, err)
		}
	}
	if !slices.Equal(refused, needed) {
		t.Errorf("the schema refuses null for %q, want %q", refused, needed)
	}
}

// names returns the names of all values, each group before its values.
func names(t *testing.T) (all []string) {
	t.Helper()
	for _, v := range documented(t) {
		if group, _, ok := strings.Cut(v.name, "."); ok && !slices.Contains(all, group) {
			all = append(all, group)
		}
		all = append(all, v.name)
	}
	return all
}

// TestLabels checks that values can replace the chart's own labels of objects, each of which the
// manifest has once, but not those by which the DaemonSet selects its pods.
func TestLabels(t *testing.T) {
	labels := values{"app.kubernetes.io/name": "own", "team": "node"}
	v := values{"enabled": true, "labels": labels}
	all := values{"podMonitor": v, "prometheusRule": v, "dashboards": v}
	have := []map[string]string{objects[monitoring.PodMonitor](t, all)[0].Labels, objects[monitoring.PrometheusRule](t, all)[0].Labels}
	for _, m := range objects[core.ConfigMap](t, all) {
		have = append(have, m.Labels)
	}
	for _, have := range have {
		if have["app.kubernetes.io/name"] != "own" || have["team"] != "node" || have["app.kubernetes.io/instance"] != "sandmeter" {
			t.Errorf("labels %v", have)
		}
	}
	for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance"} {
		if _, err := render(values{"podLabels": values{key: "own"}}); err == nil || !strings.Contains(err.Error(), "podLabels: "+key+" is") {
			t.Errorf("error %v for the label %s of pods", err, key)
		}
	}
}

// TestNotesOnPeers checks that the notes warn of peers in any namespace, but not of others.
func TestNotesOnPeers(t *testing.T) {
	f := func(want bool, peers ...any) {
		t.Helper()
		v := values{}
		if len(peers) > 0 {
			v["networkPolicy"] = values{"from": peers}
		}
		notes := mustRender(t, v).Info.Notes
		if have := strings.Contains(notes, "in any namespace"); have != want {
			t.Errorf("%v: a warning is %t, want %t, in\n%s", peers, have, want, notes)
		}
	}
	pods := values{"matchLabels": values{"app.kubernetes.io/name": "prometheus"}}
	monitoring := values{"matchLabels": values{"kubernetes.io/metadata.name": "monitoring"}}

	f(true) // the default
	f(true, values{"namespaceSelector": values{}, "podSelector": pods})
	f(true, values{"namespaceSelector": values{}})
	f(true, values{"namespaceSelector": monitoring}, values{"namespaceSelector": values{"matchLabels": values{}}})
	f(false, values{"namespaceSelector": monitoring, "podSelector": pods})
	f(false, values{"podSelector": pods}) // in the namespace of the release
	f(false, values{"ipBlock": values{"cidr": "192.0.2.0/24"}})
}

// TestShared has paths whose directories the chart does not mount, because other programs use them.
func TestShared(t *testing.T) {
	f := func(name, path, directory string) {
		t.Helper()
		v := values{name: path}
		if name == "roots" {
			v[name] = []any{path}
		}
		want := fmt.Sprintf("%s: %s would mount %s, which has files of other programs.", name, path, directory)
		if _, err := render(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	// Sockets of daemons.
	f("roots", "/run/containerd", "/run")
	f("finalRecords", "/run/containerd/records", "/run/containerd")
	f("finalRecords", "/var/run/containerd/records", "/var/run/containerd")
	f("finalMetricsLog", "/run/%ID%", "/run")
	// Settings and programs.
	f("finalRecords", "/etc/cron.d/records", "/etc/cron.d")
	f("finalRecords", "/usr/local/bin/records", "/usr/local/bin")
	f("finalRecords", "/lib/records", "/lib")
	f("finalRecords", "/opt/records", "/opt")
	// The kernel.
	f("finalRecords", "/dev/shm/records", "/dev/shm")
	f("roots", "/proc/1/root", "/proc/1")
	// Files and secrets of users, pods, and containers.
	f("finalRecords", "/root/records", "/root")
	f("finalRecords", "/tmp/records", "/tmp")
	f("finalRecords", "/var/log/records", "/var/log")
	f("finalMetricsLog", "/var/log/%ID%/metrics", "/var/log")
	f("roots", "/var/lib/kubelet/pods/r", "/var/lib/kubelet/pods")
	f("roots", "/var/lib/containerd/x/r", "/var/lib/containerd/x")
	// Other spellings.
	f("finalMetricsLog", "/var/lib//%ID%", "/var/lib")
	f("roots", "/run/x/../containerd/k8s.io", "/run/containerd")
}

// TestRuntimeClass checks that the scheduling of a RuntimeClass, as kubectl prints it, can be a
// values file.
func TestRuntimeClass(t *testing.T) {
	var v values
	scheduling := `{"nodeSelector":{"sandbox":"gvisor"},"tolerations":[{"effect":"NoSchedule","key":"sandbox","operator":"Exists"}]}`
	if err := json.Unmarshal([]byte(scheduling), &v); err != nil {
		t.Fatal(err)
	}
	pod := daemonSet(t, v).Spec.Template.Spec
	if pod.NodeSelector["sandbox"] != "gvisor" || pod.NodeSelector["kubernetes.io/os"] != "linux" {
		t.Errorf("node selector %v", pod.NodeSelector)
	}
	if len(pod.Tolerations) != 1 || pod.Tolerations[0].Key != "sandbox" {
		t.Errorf("tolerations %v", pod.Tolerations)
	}
}
