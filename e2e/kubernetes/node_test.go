package kubernetes

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// The names and addresses of the node. It has a network namespace to itself, so ports are fixed.
const (
	nodeName    = "node-1"
	nodeAddress = "10.99.0.1"
	etcdAddress = "http://127.0.0.1:2379"
	apiAddress  = "https://127.0.0.1:6443"
	kubeletPort = 10255
	token       = "operator"
)

// criSocket and runtimeRoot are the defaults of containerd and of runsc's shim. cAdvisor finds
// containerd only there.
const (
	criSocket   = "/run/containerd/containerd.sock"
	runtimeRoot = "/run/containerd/runsc/k8s.io"
)

// A node is a cluster of one node with runsc.
type node struct {
	t        *testing.T // the check that uses it
	dir      string     // of all its files
	programs string     // directory of the node's programs
	bin      string     // directory of those that are built from the checkout
	runsc    string     // path of runsc
	daemons  []*daemon
	seen     map[life]bool // sandboxes that were on a page
	broken   bool          // whether a daemon has ended by itself

	containerd, kubelet *daemon
}

// startNode starts the daemons, and returns when the node is ready. They end with the namespaces.
func startNode(t *testing.T) *node {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: os.Getenv(envDir), programs: os.Getenv(envPrograms), bin: bin, seen: map[life]bool{}}
	n.wantPrograms()
	n.runsc = runsctest.Program(t, n.bin+"/sandlab", "workload", "exit")
	n.makeNetwork()
	n.writeConfigs()
	n.containerd = n.daemon(n.programs+"/containerd", "--config", n.file("containerd.toml"))
	n.daemon(n.programs+"/debian/usr/bin/etcd", "--data-dir", n.file("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", etcdAddress, "--advertise-client-urls", etcdAddress, "--listen-peer-urls", "http://127.0.0.1:2380")
	n.startControlPlane()
	n.importImages()
	n.kubelet = n.daemon(n.programs+"/kubelet", "--config", n.file("kubelet.json"), "--kubeconfig", n.kubeconfig(),
		"--hostname-override", nodeName, "--node-ip", nodeAddress, "--root-dir", "/var/lib/kubelet", "--cert-dir", n.file("kubelet"))
	n.until(n.isReady)
	return n
}

// wantPrograms skips the test unless all programs are there.
func (n *node) wantPrograms() {
	n.t.Helper()
	var missing error
	stat := func(dir string, names ...string) {
		for _, name := range names {
			_, err := os.Stat(filepath.Join(dir, name))
			missing = errors.Join(missing, err)
		}
	}
	stat(n.programs, "kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl",
		"containerd", "ctr", "containerd-shim-runc-v2")
	stat(filepath.Join(n.programs, "debian/usr"), "bin/etcd", "sbin/runc", "lib/cni/bridge", "lib/cni/host-local", "lib/cni/loopback")
	stat(n.bin, "sandmeter", "sandlab", "containerd-shim-runsc-v1", "helm")
	if missing != nil {
		runsctest.Unavailable(n.t, fmt.Errorf("%w\nrun make test-kubernetes, on Debian", missing))
	}
}

// startControlPlane starts the API server, and what watches it.
func (n *node) startControlPlane() {
	n.t.Helper()
	n.daemon(n.programs+"/kube-apiserver", "--etcd-servers", etcdAddress, "--cert-dir", n.file("apiserver"),
		"--bind-address", "127.0.0.1", "--secure-port", "6443", "--advertise-address", nodeAddress, "--service-cluster-ip-range", "10.96.0.0/16",
		"--kubelet-preferred-address-types", "InternalIP", "--token-auth-file", n.file("tokens"), "--authorization-mode", "AlwaysAllow", "--allow-privileged",
		"--service-account-issuer", apiAddress, "--service-account-key-file", n.file("key.pem"), "--service-account-signing-key-file", n.file("key.pem"))
	n.until(func() error { return n.get("/readyz", nil) })
	n.daemon(n.programs+"/kube-controller-manager", "--kubeconfig", n.kubeconfig(), "--leader-elect=false", "--bind-address", "127.0.0.1",
		"--cert-dir", n.file("controllers"), "--service-account-private-key-file", n.file("key.pem"))
	n.daemon(n.programs+"/kube-scheduler", "--kubeconfig", n.kubeconfig(), "--leader-elect=false", "--bind-address", "127.0.0.1",
		"--cert-dir", n.file("scheduler"))
}

// makeNetwork gives the network namespace an address for the node. Pods are on a bridge that CNI
// adds.
func (n *node) makeNetwork() {
	n.t.Helper()
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "node0", "type", "bridge"},
		{"addr", "add", nodeAddress + "/24", "dev", "node0"},
		{"link", "set", "node0", "up"},
		{"route", "add", "default", "via", "10.99.0.2"},
	} {
		n.run("ip", args...)
	}
}

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }

func (n *node) kubeconfig() string { return n.file("kubeconfig") }

// path returns the PATH of the daemons, where containerd finds shims and runc.
func (n *node) path() string {
	return n.programs + ":" + n.programs + "/debian/usr/sbin:" + n.bin + ":/usr/sbin:/usr/bin:/sbin:/bin"
}

// writeConfigs writes the configuration files of the daemons.
func (n *node) writeConfigs() {
	n.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	n.must(err)
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	n.write("key.pem", string(pem.EncodeToMemory(block)))
	n.write("tokens", token+",operator,1,system:masters\n")
	n.writeJSON("kubeconfig", kubeconfig())
	n.writeJSON("kubelet.json", n.kubeletConfig())
	n.write("containerd.toml", n.containerdConfig())
	// Sandboxes run with the programs of the release of runsc, or not at all: see runsc.ReleaseFlags.
	n.write("runsc.toml", fmt.Sprintf("binary_name = %q\n[runsc_config]\nplatform = \"systrap\"\nsidecar-usage-policy = \"STRICT\"\n", n.runsc))
	n.must(os.Mkdir(n.file("cni"), 0o755))
	n.writeJSON("cni/10-bridge.conflist", cniConfig())
	n.must(os.Mkdir(n.file("manifests"), 0o755))
}

func (n *node) write(name, text string) {
	n.t.Helper()
	n.must(os.WriteFile(n.file(name), []byte(text), 0o600))
}

func (n *node) writeJSON(name string, value any) {
	n.t.Helper()
	text, err := json.Marshal(value)
	n.must(err)
	n.write(name, string(text))
}

type object = map[string]any

func kubeconfig() object {
	return object{
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": []object{{"name": "test", "cluster": object{"server": apiAddress, "insecure-skip-tls-verify": true}}},
		"users":    []object{{"name": "test", "user": object{"token": token}}},
		"contexts": []object{{"name": "test", "context": object{"cluster": "test", "user": "test"}}},
	}
}

func (n *node) kubeletConfig() object {
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication":           object{"anonymous": object{"enabled": true}, "webhook": object{"enabled": false}},
		"authorization":            object{"mode": "AlwaysAllow"},
		"containerRuntimeEndpoint": "unix://" + criSocket,
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/" + cgroupOf(n.dir), "failCgroupV1": false,
		"failSwapOn":   false,
		"readOnlyPort": kubeletPort,
		"resolvConf":   "",
		// Without CAP_SYS_RESOURCE, kubelet may not protect itself from the OOM killer.
		"featureGates":                object{"KubeletInUserNamespace": true},
		"evictionHard":                object{"memory.available": "50Mi"},
		"imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
		"volumePluginDir": n.file("plugins"),
		"staticPodPath":   n.file("manifests"), "fileCheckFrequency": "1s",
	}
}

// containerdConfig returns the usual configuration for runsc, except for what the test's machine
// lacks: CAP_SYS_RESOURCE and systemd.
func (n *node) containerdConfig() string {
	return fmt.Sprintf(`version = 3
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [%q]
    conf_dir = %q
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc]
    runtime_type = "io.containerd.runsc.v1"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc.options]
      TypeUrl = "io.containerd.runsc.v1.options"
      ConfigPath = %q
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
`, workloadImage, n.programs+"/debian/usr/lib/cni", n.file("cni"), n.file("runsc.toml"))
}

func cniConfig() object {
	ipam := object{"type": "host-local", "ranges": [][]object{{{"subnet": "10.88.0.0/16"}}}, "routes": []object{{"dst": "0.0.0.0/0"}}}
	bridge := object{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "ipam": ipam}
	return object{"cniVersion": "1.0.0", "name": "pods", "plugins": []object{bridge}}
}
