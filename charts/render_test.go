package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	json "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// values are values as in a values file.
type values = map[string]any

// render renders the chart as `helm template sandmeter --namespace sandmeter` does.
func render(v values) (*release.Release, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	install := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	install.DryRun, install.ClientOnly = true, true
	install.ReleaseName, install.Namespace = "sandmeter", "sandmeter"
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	return install.Run(chart, v)
}

func mustRender(t *testing.T, v values) *release.Release {
	t.Helper()
	r, err := render(v)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// readValues reads a values file.
func readValues(t *testing.T, path string) values {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := values{}
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// valueFiles returns the values files that have a golden render, by name.
func valueFiles(t *testing.T) map[string]values {
	t.Helper()
	paths, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no values files in testdata/values (%v)", err)
	}
	all := map[string]values{}
	for _, path := range paths {
		all[strings.TrimSuffix(filepath.Base(path), ".yaml")] = readValues(t, path)
	}
	return all
}

// An objects value has the objects of a render, by kind.
type objects struct {
	daemonSets      []apps.DaemonSet
	serviceAccounts []core.ServiceAccount
	configMaps      []core.ConfigMap
	policies        []networking.NetworkPolicy
	podMonitors     []monitoring.PodMonitor
	rules           []monitoring.PrometheusRule
}

// decode decodes a manifest. A field that the API does not have is an error, and so is one whose
// name differs in case only.
func decode(manifest string) (*objects, error) {
	all := &objects{}
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		text, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			return nil, err
		}
		if string(text) == "null" {
			continue
		}
		if err := all.add(text); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
	}
	return all, nil
}

func (all *objects) add(text []byte) error {
	var head meta.TypeMeta
	if err := json.UnmarshalCaseSensitivePreserveInts(text, &head); err != nil {
		return err
	}
	switch head.APIVersion + " " + head.Kind {
	case "apps/v1 DaemonSet":
		return add(&all.daemonSets, text)
	case "v1 ServiceAccount":
		return add(&all.serviceAccounts, text)
	case "v1 ConfigMap":
		return add(&all.configMaps, text)
	case "networking.k8s.io/v1 NetworkPolicy":
		return add(&all.policies, text)
	case "monitoring.coreos.com/v1 PodMonitor":
		return add(&all.podMonitors, text)
	case "monitoring.coreos.com/v1 PrometheusRule":
		return add(&all.rules, text)
	}
	return fmt.Errorf("unexpected kind %q of %q", head.Kind, head.APIVersion)
}

func add[T any](list *[]T, text []byte) error {
	var object T
	strict, err := json.UnmarshalStrict(text, &object)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return strict[0]
	}
	*list = append(*list, object)
	return nil
}

// mustDecode renders the chart and decodes the result.
func mustDecode(t *testing.T, v values) *objects {
	t.Helper()
	all, err := decode(mustRender(t, v).Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.daemonSets) != 1 {
		t.Fatalf("%d DaemonSets instead of one", len(all.daemonSets))
	}
	return all
}

// daemonSet returns the DaemonSet of a render.
func daemonSet(t *testing.T, v values) apps.DaemonSet {
	t.Helper()
	return mustDecode(t, v).daemonSets[0]
}

// container returns the only container of a DaemonSet.
func container(t *testing.T, set apps.DaemonSet) core.Container {
	t.Helper()
	pod := set.Spec.Template.Spec
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || len(pod.EphemeralContainers) != 0 {
		t.Fatalf("the pod has other containers than one")
	}
	return pod.Containers[0]
}
