package kubernetes

import (
	"fmt"
	"path/filepath"
)

// serverNamespace is where the server is installed, and recordsFile where it writes records, on the
// node.
const (
	serverNamespace = "monitoring"
	recordsFile     = "/var/log/sandmeter/records"
)

// helm installs or upgrades the release with the settings of the checks and others, and waits until
// the server is ready. The chart is the one that `make test-kubernetes` has packed.
func (n *node) helm(settings ...string) {
	n.t.Helper()
	charts, err := filepath.Glob(n.bin + "/chart/*.tgz")
	if err != nil || len(charts) != 1 {
		n.t.Fatalf("bin/chart has charts %q, want one (%v)", charts, err)
	}
	args := []string{"upgrade", "--install", "sandmeter", charts[0], "--namespace", serverNamespace, "--create-namespace", "--wait", "--timeout", ample.String()}
	for _, setting := range append([]string{
		"image.pullPolicy=Never", "runsc.paths={" + n.runsc + "}", "finalRecords=" + recordsFile, "usage=own\\,cadvisor\\,detail", "totals.by=namespace",
	}, settings...) {
		args = append(args, "--set", setting)
	}
	n.run(n.bin+"/helm", args...)
}

// untilServed waits until the DaemonSet is as its current template says, and its server has a page.
func (n *node) untilServed() {
	n.t.Helper()
	n.until(func() error {
		var set struct {
			Metadata struct{ Generation int }
			Status   struct{ ObservedGeneration, DesiredNumberScheduled, UpdatedNumberScheduled, NumberReady int }
		}
		if err := n.get("/apis/apps/v1/namespaces/"+serverNamespace+"/daemonsets/sandmeter", &set); err != nil {
			return err
		}
		if s := set.Status; s.ObservedGeneration != set.Metadata.Generation || s.DesiredNumberScheduled != 1 || s.UpdatedNumberScheduled != 1 || s.NumberReady != 1 {
			return fmt.Errorf("the DaemonSet has %+v", set)
		}
		_, err := n.tryPage()
		return err
	})
}

// install installs the server on a node that never had a sandbox.
func (n *node) install() {
	n.t.Helper()
	n.apply(object{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": object{"name": "gvisor"}, "handler": "runsc"})
	n.helm()
	n.untilServed()
}

// checkInstall: there is one server, and it has a page before there is a sandbox.
func checkInstall(n *node) {
	p := n.page()
	p.want(n.t, 0, "sandmeter_num_sandboxes_running")
	if sandboxes := p.labels("sandmeter_sandbox_presence", "sandbox"); len(sandboxes) > 0 {
		n.t.Errorf("there are sandboxes: %q", sandboxes)
	}
	if servers := processes("/sandmeter\x00serve\x00"); len(servers) != 1 {
		n.t.Errorf("processes of servers: %v", servers)
	}
}

// checkProbes: no probe has failed so often that kubelet restarted the server.
func checkProbes(n *node) {
	servers, err := n.servers()
	n.must(err)
	for _, server := range servers {
		for _, c := range server.Status.ContainerStatuses {
			if c.RestartCount != 0 {
				n.t.Errorf("container %s of the server was restarted %d times: %+v", c.Name, c.RestartCount, c.LastState)
			}
		}
	}
}
