package kubernetes

import (
	"fmt"
	"os"
	"testing"
)

// envPrograms names the environment variable with the directory of the programs of a node, which
// `make test-kubernetes` sets. Without it there is no node.
const envPrograms = "SANDMETER_KUBERNETES"

// envStage names the environment variable that tells this program which of its stages it is.
const envStage = "SANDMETER_KUBERNETES_STAGE"

// TestMain runs this program three times, each inside of the one before:
//
//  1. The outermost one makes the directory and the cgroups of the node, and removes them when
//     nothing of the node runs anymore, however that came about.
//  2. The first process of new PID, mount and network namespaces. When it ends, the kernel kills
//     whatever still runs in them, and their mounts and interfaces are gone.
//  3. The tests.
func TestMain(m *testing.M) {
	stages := map[string]func() (int, error){"": outermost, "init": firstProcess}
	stage, ok := stages[os.Getenv(envStage)]
	if !ok || os.Getenv(envPrograms) == "" {
		os.Exit(m.Run())
	}
	code, err := stage()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// A check is a part of the specification. All checks use the same node, one after the other, and each
// creates the pods that it needs, if they are not there.
type check struct {
	name string
	run  func(n *node)
}

// TestKubernetes: the server on a node, installed with its chart.
func TestKubernetes(t *testing.T) {
	if os.Getenv(envPrograms) == "" {
		t.Skip("the programs of a Kubernetes node take long to build: run make test-kubernetes")
	}
	n := startNode(t)
	n.install()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			n.t = t
			c.run(n)
		})
		if n.broken {
			t.Fatal("the node does not work anymore")
		}
	}
}
