package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// containerdAnnotations returns the annotations of containerd for a container of a pod, or for the
// pause container, which has no name.
func containerdAnnotations(pod runsc.Pod, id, name, image string) map[string]string {
	all := pod.Annotations(id)
	all["io.kubernetes.cri.sandbox-uid"] = "uid-of-" + pod.Name
	if name == "" {
		all["io.kubernetes.cri.podsandbox.image-name"] = image
		return all
	}
	all["io.kubernetes.cri.container-name"], all["io.kubernetes.cri.image-name"] = name, image
	return all
}

// crioAnnotations returns the annotations of CRI-O, which include the kubelet's labels.
func crioAnnotations(pod runsc.Pod, id, name, image string) map[string]string {
	kind := "container"
	if name == "" {
		kind, name = "sandbox", "POD"
	}
	long := func(parts ...string) string {
		return "k8s_" + strings.Join(append(parts, pod.Name, pod.Namespace, "uid-of-"+pod.Name, "0"), "_")
	}
	return map[string]string{
		"io.container.manager":              "cri-o",
		"io.kubernetes.container.name":      name,
		"io.kubernetes.cri-o.ContainerID":   id,
		"io.kubernetes.cri-o.ContainerType": kind,
		"io.kubernetes.cri-o.Image":         image,
		"io.kubernetes.cri-o.ImageName":     image,
		"io.kubernetes.cri-o.Name":          long(name),
		"io.kubernetes.cri-o.SandboxID":     pod.Sandbox,
		"io.kubernetes.cri-o.SandboxName":   long(),
		"io.kubernetes.pod.name":            pod.Name,
		"io.kubernetes.pod.namespace":       pod.Namespace,
		"io.kubernetes.pod.uid":             "uid-of-" + pod.Name,
	}
}

// TestCRIO: a pod's series have the same labels with CRI-O and with containerd.
func TestCRIO(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := func(sandbox string, annotations func(pod runsc.Pod, id, name, image string) map[string]string) {
		t.Helper()
		pod := runsc.Pod{Sandbox: sandbox, Name: "web-0", Namespace: "shop"}
		run := func(id, name, image string) {
			t.Helper()
			c := w.container(id, "idle")
			c.Annotations = annotations(pod, id, name, image)
			w.must(w.node.Run(w.ctx(), c))
		}
		run(sandbox, "", "pause:3")
		run(sandbox+"-1", "app", "docker.io/library/app:1")
		run(sandbox+"-2", "side", "docker.io/library/side:2")
	}
	start("d", containerdAnnotations)
	start("o", crioAnnotations)
	w.startServer(w.serveArgs("--usage=own,cadvisor"))
	p := w.scrape()
	p.wantRunning(t, []string{"d", "o"}, []string{"d", "o"})

	// of returns labels of the series of a pod, whose label id begins with the ID of the sandbox.
	of := func(sandbox, metric, id string, names ...string) (all []string) {
		for _, s := range p.find(metric) {
			if !strings.HasPrefix(s.labels[id], sandbox) {
				continue
			}
			text := ""
			for _, name := range names {
				text += fmt.Sprintf(" %s=%q", name, s.labels[name])
			}
			text = strings.ReplaceAll(text, strconv.Quote(sandbox), "its ID") // the pause container has no name
			all = append(all, text)
		}
		slices.Sort(all)
		return all
	}
	same := func(series int, metric, id string, names ...string) {
		t.Helper()
		d, o := of("d", metric, id, names...), of("o", metric, id, names...)
		if !slices.Equal(d, o) || len(d) != series {
			t.Errorf("%s: with containerd %q, with CRI-O %q; want %d series each, with the same labels", metric, d, o, series)
		}
	}
	same(1, "runsc_meta_sandbox_presence", "sandbox", "pod_name", "namespace_name")
	same(1, alwaysThere, "sandbox", "pod_name", "namespace_name")
	same(3, "sandmeter_container_start_time_seconds", "container_id", "container", "pod_name", "namespace_name")
	same(3, "container_start_time_seconds", "name", "container", "image", "pod", "namespace")
	p.wantValue(t, 1, "runsc_meta_sandbox_presence", "sandbox", "o", "pod_name", "web-0", "namespace_name", "shop")
}
