package state

import (
	"cmp"
	"strings"
)

// criNames are the texts that both runtimes have.
type criNames struct{ kind, container, podUID, image string }

// criAnnotations are the annotations of a spec that identify a container of a pod. containerd and
// CRI-O use different keys. Each value may have any bytes.
type criAnnotations struct {
	containerd, crio criNames

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
// pod's name and namespace from containerd's annotations only.
//
// CRI-O copies the annotations of a pod into the spec, so its users can set containerd's. Where
// CRI-O made the container, they do not count.
func (a *criAnnotations) complete(c *Container) {
	of, spec := a.containerd, &c.Spec
	if a.crio.kind != "" {
		of = a.ofCRIO()
		c.facts.PodName = cmp.Or(a.crioPod, a.crioKubeName)
		c.facts.Namespace = cmp.Or(a.crioNamespace, a.crioKubeNamespace)
	}
	spec.Pause, spec.PodUID, spec.Image, spec.ContainerName = of.kind == "sandbox", of.podUID, of.image, of.container
}

// ofCRIO returns the texts of a container that CRI-O made.
func (a *criAnnotations) ofCRIO() criNames {
	of := a.crio
	of.image = cmp.Or(of.image, a.crioRequestedImage)
	of.container = cmp.Or(of.container, crioContainer(a.crioName))
	if of.kind == "sandbox" { // CRI-O calls the pause container POD
		of.container = ""
	}
	return of
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
