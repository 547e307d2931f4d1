package state

import (
	"cmp"
	"strings"
)

// criAnnotations are the annotations of a spec that identify a container of a pod. containerd and
// CRI-O use different keys. Each value may have any bytes.
type criAnnotations struct {
	containerd, crio struct{ kind, container, podUID, image string }

	crioPod, crioNamespace string // from the kubelet's labels, which CRI-O copies into the spec

	// CRI-O has these in the specs of pods that were created without a kubelet, too.
	crioKubeName, crioKubeNamespace, crioName, crioRequestedImage string
}

// read reads the value of an annotation that is one of these, or skips it.
func (a *criAnnotations) read(p *parser, key []byte) {
	switch string(key) {
	case "io.kubernetes.cri.container-type":
		a.containerd.kind = p.str()
	case "io.kubernetes.cri.container-name":
		a.containerd.container = p.str()
	case "io.kubernetes.cri.sandbox-uid":
		a.containerd.podUID = p.str()
	case "io.kubernetes.cri.image-name", "io.kubernetes.cri.podsandbox.image-name":
		a.containerd.image = p.str()

	case "io.kubernetes.cri-o.ContainerType":
		a.crio.kind = p.str()
	case "io.kubernetes.container.name":
		a.crio.container = p.str()
	case "io.kubernetes.pod.uid":
		a.crio.podUID = p.str()
	case "io.kubernetes.cri-o.ImageName":
		a.crio.image = p.str()
	case "io.kubernetes.pod.name":
		a.crioPod = p.str()
	case "io.kubernetes.pod.namespace":
		a.crioNamespace = p.str()
	case "io.kubernetes.cri-o.KubeName":
		a.crioKubeName = p.str()
	case "io.kubernetes.cri-o.Namespace":
		a.crioKubeNamespace = p.str()
	case "io.kubernetes.cri-o.Name":
		a.crioName = p.str()
	case "io.kubernetes.cri-o.Image":
		a.crioRequestedImage = p.str()
	default:
		p.Skip()
	}
}

// complete sets the fields of a container that come from the annotations. runsc itself reads the
// pod's name and namespace from containerd's annotations only. An annotation of containerd takes
// precedence over CRI-O's, as it does in runsc.
func (a *criAnnotations) complete(c *Container) {
	of, spec := &a.containerd, &c.Spec
	spec.Pause = cmp.Or(of.kind, a.crio.kind) == "sandbox"
	spec.PodUID = cmp.Or(of.podUID, a.crio.podUID)
	spec.Image = cmp.Or(of.image, a.crio.image, a.crioRequestedImage)
	spec.ContainerName = of.container
	if spec.ContainerName == "" && !spec.Pause { // CRI-O calls the pause container POD
		spec.ContainerName = cmp.Or(a.crio.container, crioContainer(a.crioName))
	}
	c.facts.PodName = cmp.Or(c.facts.PodName, a.crioPod, a.crioKubeName)
	c.facts.Namespace = cmp.Or(c.facts.Namespace, a.crioNamespace, a.crioKubeNamespace)
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
