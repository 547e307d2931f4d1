// Package kubernetes tests the server on a real Kubernetes node: etcd, the control plane, kubelet,
// containerd, and runsc's shim, all on this machine, with no registry of images. `make
// test-kubernetes` builds the programs and runs it.
package kubernetes
