package state

import (
	"cmp"
	"slices"
	"strings"
)

// Beginnings of the keys of annotations: of containerd, of CRI-O, and of the kubelet's labels, which
// CRI-O copies into the spec.
const (
	containerd = "io.kubernetes.cri."
	crio       = "io.kubernetes.cri-o."
	kubelet    = "io.kubernetes."
)

// criKeys are the keys of the annotations of a spec that identify a container of a pod.
var criKeys = []string{
	containerd + "container-type", containerd + "container-name", containerd + "sandbox-uid",
	containerd + "image-name", containerd + "podsandbox.image-name",
	crio + "ContainerType", crio + "ImageName", crio + "Image", crio + "Name", crio + "KubeName", crio + "Namespace",
	kubelet + "container.name", kubelet + "pod.name", kubelet + "pod.namespace", kubelet + "pod.uid",
}

// criAnnotations are the values by key. Each may have any bytes.
type criAnnotations map[string]string

// read reads the value of an annotation that is one of these, or skips it.
func (a *criAnnotations) read(p *parser, key []byte) {
	if !slices.Contains(criKeys, string(key)) {
		p.Skip()
		return
	}
	if *a == nil {
		*a = make(criAnnotations)
	}
	(*a)[string(key)] = p.str()
}

// complete sets the fields of a container that come from the annotations. runsc itself reads the
// pod's name and namespace from containerd's annotations only.
//
// CRI-O copies the annotations of a pod into the spec, so its users can set containerd's. Where
// CRI-O made the container, they do not count.
func (a criAnnotations) complete(c *Container) {
	spec := &c.Spec
	kind := a[crio+"ContainerType"]
	if kind == "" {
		spec.Pause = a[containerd+"container-type"] == "sandbox"
		spec.ContainerName, spec.PodUID = a[containerd+"container-name"], a[containerd+"sandbox-uid"]
		spec.Image = cmp.Or(a[containerd+"image-name"], a[containerd+"podsandbox.image-name"])
		return
	}
	spec.Pause, spec.PodUID = kind == "sandbox", a[kubelet+"pod.uid"]
	if !spec.Pause { // CRI-O calls the pause container POD
		spec.ContainerName = cmp.Or(a[kubelet+"container.name"], crioContainer(a[crio+"Name"]))
	}
	// Those with the prefix of CRI-O are there without a kubelet, too.
	spec.Image = cmp.Or(a[crio+"ImageName"], a[crio+"Image"])
	c.facts.PodName = cmp.Or(a[kubelet+"pod.name"], a[crio+"KubeName"])
	c.facts.Namespace = cmp.Or(a[kubelet+"pod.namespace"], a[crio+"Namespace"])
}

// crioContainer returns the name of the container in the name that CRI-O gives it,
// k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT. Names of Kubernetes have no underscores.
func crioContainer(name string) string {
	rest, ok := strings.CutPrefix(name, "k8s_")
	if !ok || strings.Count(rest, "_") != 4 {
		return ""
	}
	container, _, _ := strings.Cut(rest, "_")
	return container
}
