package state

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// The annotations that identify containers of the pod web of the namespace shop: as containerd sets
// them, as CRI-O does for a kubelet, and as CRI-O does for crictl, without the labels of a kubelet.
var (
	containerdPause = map[string]string{
		"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-uid": "uid-1", "io.kubernetes.cri.podsandbox.image-name": "pause:3",
		"io.kubernetes.cri.sandbox-name": "web", "io.kubernetes.cri.sandbox-namespace": "shop",
	}
	containerdApp = map[string]string{
		"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-uid": "uid-1", "io.kubernetes.cri.image-name": "docker.io/library/app:1",
		"io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.sandbox-name": "web", "io.kubernetes.cri.sandbox-namespace": "shop",
	}
	crioPause = map[string]string{
		"io.kubernetes.cri-o.ContainerType": "sandbox", "io.kubernetes.cri-o.SandboxID": "s", "io.kubernetes.cri-o.SandboxName": "k8s_web_shop_uid-1_0",
		"io.kubernetes.cri-o.Name": "k8s_web_shop_uid-1_0", "io.kubernetes.cri-o.ContainerName": "k8s_POD_web_shop_uid-1_0",
		"io.kubernetes.cri-o.KubeName": "web", "io.kubernetes.cri-o.Namespace": "shop",
		"io.kubernetes.cri-o.Image": "pause:3", "io.kubernetes.cri-o.ImageName": "pause:3",
		"io.kubernetes.container.name": "POD", "io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "uid-1",
	}
	crioApp = map[string]string{
		"io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "s", "io.kubernetes.cri-o.SandboxName": "k8s_web_shop_uid-1_0",
		"io.kubernetes.cri-o.Name": "k8s_app_web_shop_uid-1_0", "io.kubernetes.cri-o.Image": "app", "io.kubernetes.cri-o.ImageName": "docker.io/library/app:1",
		"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "uid-1",
	}
)

// TestCRI: a container of a pod has the same names with CRI-O as with containerd.
func TestCRI(t *testing.T) {
	type names struct {
		pod, namespace string
		spec           Spec
	}
	check := func(name, runscPod, runscNamespace string, annotations map[string]string, want names) {
		t.Helper()
		c, err := parse(fmt.Appendf(nil, `{"id":"a","createdAt":%q,"sandbox":{"id":"s","podName":%q,"namespace":%q},"spec":{"annotations":%s}}`,
			createdAt, runscPod, runscNamespace, object(annotations)), NewShared(""))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		want.spec.Present = true
		if got := (names{c.facts.PodName, c.facts.Namespace, c.Spec}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, want)
		}
	}
	pause := names{"web", "shop", Spec{Pause: true, PodUID: "uid-1", Image: "pause:3"}}
	app := names{"web", "shop", Spec{ContainerName: "app", PodUID: "uid-1", Image: "docker.io/library/app:1"}}

	// runsc copies the pod's name and namespace from containerd's annotations to fields of the file.
	check("containerd, pause", "web", "shop", containerdPause, pause)
	check("containerd, app", "web", "shop", containerdApp, app)
	check("CRI-O, pause", "", "", crioPause, pause)
	check("CRI-O, app", "", "", crioApp, app)

	// A pod of CRI-O can set the annotations of containerd.
	forged := map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "c",
		"io.kubernetes.cri.sandbox-uid": "u", "io.kubernetes.cri.image-name": "i"}
	check("CRI-O, pause, and the pod has annotations of containerd", "w", "s", merged(crioPause, forged), pause)
	check("CRI-O, app, and the pod has annotations of containerd", "w", "s", merged(crioApp, forged), app)

	// Without a kubelet there are no labels, and the image may have no name.
	fromCrictl := merged(crioPause, nil)
	maps.DeleteFunc(fromCrictl, func(key, _ string) bool { return isLabel(key) })
	check("crictl, pause", "", "", fromCrictl, names{"web", "shop", Spec{Pause: true, Image: "pause:3"}})
	fromCrictl = merged(crioApp, map[string]string{"io.kubernetes.cri-o.ImageName": ""})
	maps.DeleteFunc(fromCrictl, func(key, _ string) bool { return isLabel(key) })
	check("crictl, app", "", "", fromCrictl, names{"", "", Spec{ContainerName: "app", Image: "app"}})

	for _, name := range []string{"", "app", "k8s_", "k8s_app_web_shop_uid", "k8s_a_b_web_shop_uid_0", "x_app_web_shop_uid_0"} {
		check("CRI-O's name "+name, "", "", map[string]string{"io.kubernetes.cri-o.Name": name}, names{})
	}
}

// isLabel reports whether the key of an annotation is the name of a kubelet's label.
func isLabel(key string) bool {
	return slices.Contains([]string{"io.kubernetes.container.name", "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.pod.uid"}, key)
}

// merged returns a map with the entries of both; the second's take precedence.
func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// object returns a map as JSON.
func object(m map[string]string) string {
	text := "{"
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf("%q:%q", key, m[key])
	}
	return text + "}"
}
