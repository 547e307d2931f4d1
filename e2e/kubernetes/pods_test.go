package kubernetes

import (
	"fmt"
	"strings"
)

// A container is a container of a pod with a workload of sandlab.
type container struct {
	name     string
	workload string // arguments, with blanks between them
	memory   string // limit; empty: none
	init     bool   // whether it ends before the others start
}

// A workload is a pod of the tests.
type workload struct {
	namespace, name string
	plain           bool // runc instead of gVisor
	hostNetwork     bool
	labels          map[string]string
	containers      []container
}

// manifest returns the object of the API.
func (w workload) manifest() object {
	var containers, first []object
	for _, c := range w.containers {
		one := object{
			"name": c.name, "image": workloadImage, "imagePullPolicy": "Never",
			"args": append([]string{"workload"}, strings.Fields(c.workload)...),
		}
		if c.memory != "" {
			one["resources"] = object{"limits": object{"memory": c.memory}}
		}
		if c.init {
			first = append(first, one)
		} else {
			containers = append(containers, one)
		}
	}
	spec := object{
		"initContainers": first, "containers": containers, "restartPolicy": "Never",
		"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1, "hostNetwork": w.hostNetwork,
	}
	if !w.plain {
		spec["runtimeClassName"] = "gvisor"
	}
	return object{
		"apiVersion": "v1", "kind": "Pod", "spec": spec,
		"metadata": object{"namespace": w.namespace, "name": w.name, "labels": w.labels},
	}
}

// idle returns a pod of one container that idles.
func idle(namespace, name string) workload {
	return workload{namespace: namespace, name: name, containers: []container{{name: "app", workload: "idle"}}}
}

// create creates a namespace with pods.
func (n *node) create(namespace string, pods ...workload) {
	n.t.Helper()
	objects := []object{{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": namespace}}}
	for _, p := range pods {
		objects = append(objects, p.manifest())
	}
	n.apply(objects...)
}

// untilReady waits until all containers of pods are ready, and returns the pods.
func (n *node) untilReady(namespace string, names ...string) (pods []pod) {
	n.t.Helper()
	n.until(func() error {
		pods = nil
		for _, name := range names {
			p, err := n.pod(namespace, name)
			if err != nil {
				return err
			}
			if !p.ready() {
				return fmt.Errorf("pod %s is not ready: %+v", name, p.Status)
			}
			pods = append(pods, p)
		}
		return nil
	})
	return pods
}

// remove begins to delete namespaces with their pods. It takes long until a namespace is gone, and no
// check needs that.
func (n *node) remove(namespaces ...string) {
	n.t.Helper()
	n.kubectl(append([]string{"delete", "namespace", "--ignore-not-found", "--wait=false"}, namespaces...)...)
}

// untilUp waits until pods are ready and their sandboxes have metrics, and returns the IDs of those
// by pod.
func (n *node) untilUp(namespace string, names ...string) map[string]string {
	n.t.Helper()
	n.untilReady(namespace, names...)
	ids := make(map[string]string)
	n.untilPage(func(p page) error {
		clear(ids)
		for _, name := range names {
			for _, s := range p.find("sandmeter_sandbox_up", "namespace_name", namespace, "pod_name", name) {
				if s.value == 1 {
					ids[name] = s.labels["sandbox"]
				}
			}
		}
		if len(ids) != len(names) {
			return fmt.Errorf("of %q, these have sandboxes with metrics: %v", names, ids)
		}
		return nil
	})
	return ids
}
