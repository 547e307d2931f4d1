package charts

import (
	"errors"
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

// kinds makes an object of each kind that the chart has.
var kinds = map[string]func() any{
	"apps/v1 DaemonSet":                       func() any { return new(apps.DaemonSet) },
	"v1 ServiceAccount":                       func() any { return new(core.ServiceAccount) },
	"v1 ConfigMap":                            func() any { return new(core.ConfigMap) },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return new(networking.NetworkPolicy) },
	"monitoring.coreos.com/v1 PodMonitor":     func() any { return new(monitoring.PodMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
}

// decode returns the objects of a manifest. A field that the API does not have is an error, and so is one
// whose name differs in case only.
func decode(manifest string) (objects []any, err error) {
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		text, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			return nil, err
		}
		if string(text) == "null" {
			continue
		}
		var head meta.TypeMeta
		if err := json.UnmarshalCaseSensitivePreserveInts(text, &head); err != nil {
			return nil, err
		}
		newObject, known := kinds[head.APIVersion+" "+head.Kind]
		if !known {
			return nil, fmt.Errorf("unexpected kind %q of %q", head.Kind, head.APIVersion)
		}
		object := newObject()
		strict, err := json.UnmarshalStrict(text, object)
		if err = errors.Join(append(strict, err)...); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// objects renders the chart and returns the objects of one kind.
func objects[T any](t *testing.T, v values) (all []*T) {
	t.Helper()
	decoded, err := decode(mustRender(t, v).Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range decoded {
		if object, ok := object.(*T); ok {
			all = append(all, object)
		}
	}
	return all
}

// daemonSet returns the only DaemonSet of a render.
func daemonSet(t *testing.T, v values) *apps.DaemonSet {
	t.Helper()
	sets := objects[apps.DaemonSet](t, v)
	if len(sets) != 1 {
		t.Fatalf("%d DaemonSets instead of one", len(sets))
	}
	return sets[0]
}

// container returns the only container of a DaemonSet.
func container(t *testing.T, set *apps.DaemonSet) core.Container {
	t.Helper()
	pod := set.Spec.Template.Spec
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || len(pod.EphemeralContainers) != 0 {
		t.Fatalf("the pod has other containers than one")
	}
	return pod.Containers[0]
}
