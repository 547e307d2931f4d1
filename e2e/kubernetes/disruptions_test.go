package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// lives returns the running sandboxes that have metrics.
func (p page) lives() map[life]bool {
	all := make(map[life]bool)
	for _, s := range p.find("sandmeter_sandbox_up") {
		if s.value == 1 {
			all[s.life()] = true
		}
	}
	return all
}

func (s sample) life() life { return life{s.labels["sandbox"], s.labels["iteration"]} }

// wantSame fails the test unless the sandboxes of before still run, in the same lives.
func (n *node) wantSame(before map[life]bool) {
	n.t.Helper()
	n.untilPage(func(p page) error {
		now := p.lives()
		for running := range before {
			if !now[running] {
				return fmt.Errorf("before there were %v, now %v", before, now)
			}
		}
		return nil
	})
	records, err := n.allRecords()
	n.must(err)
	for running := range before {
		if r, ended := records[running]; ended {
			n.t.Errorf("there is a record of %s, which runs: %s", running.id, r)
		}
	}
}

// checkContainerdRestart: shims and sandboxes outlive containerd, also if it is killed.
func checkContainerdRestart(n *node) {
	n.create("restart", idle("restart", "one"), idle("restart", "two"))
	n.untilUp("restart", "one", "two")
	before := n.page().lives()
	for _, end := range []func(*daemon) error{(*daemon).stop, (*daemon).kill} {
		n.must(end(n.containerd))
		n.must(n.containerd.start(n.path()))
		n.until(func() error {
			_, err := n.ctr("tasks", "list")
			return err
		})
	}
	n.create("restart", idle("restart", "three"))
	n.untilUp("restart", "one", "two", "three")
	n.wantSame(before)
}

// checkKubeletRestart: containerd and sandboxes outlive kubelet.
func checkKubeletRestart(n *node) {
	n.create("restart", idle("restart", "one"), idle("restart", "two"), idle("restart", "three"))
	n.untilUp("restart", "one", "two", "three")
	before := n.page().lives()
	n.must(n.kubelet.stop())
	n.must(n.kubelet.start(n.path()))
	n.create("restart", idle("restart", "four"))
	n.untilUp("restart", "one", "two", "three", "four")
	n.wantSame(before)
}

// checkDrain: a drain, which evicts all pods through the API, ends all sandboxes, and not the server.
func checkDrain(n *node) {
	n.create("drain", idle("drain", "one"), shop.in("drain"))
	n.untilUp("drain", "one", "web")
	before := n.page().lives()
	n.kubectl("drain", nodeName, "--ignore-daemonsets", "--force", "--timeout", ample.String())
	n.wantRecords(before)
	n.kubectl("uncordon", nodeName)
	n.create("drain", idle("drain", "after"))
	n.untilUp("drain", "after")
}

// in returns the pod in another namespace.
func (w workload) in(namespace string) workload {
	w.namespace = namespace
	return w
}

// wantRecords waits until sandboxes have records, and fails the test if one of them still runs.
func (n *node) wantRecords(before map[life]bool) {
	n.t.Helper()
	n.until(func() error {
		records, err := n.allRecords()
		for ended := range before {
			if _, ok := records[ended]; !ok {
				err = errors.Join(err, fmt.Errorf("sandbox %s has no record", ended.id))
			}
		}
		return err
	})
	for now := range n.page().lives() {
		if before[now] {
			n.t.Errorf("sandbox %s has a record and runs", now.id)
		}
	}
}

// static is a pod of a file, and its name in the API.
const static = "static-" + nodeName

// writeStatic writes the file of the static pod.
func (n *node) writeStatic(args string) {
	n.t.Helper()
	w := workload{namespace: "default", name: "static", containers: []container{{name: "app", workload: args}}}
	manifest := w.manifest()
	manifest["spec"].(object)["restartPolicy"] = "Always"
	n.writeJSON("static.json", manifest)
	n.must(os.Rename(n.file("static.json"), n.file("manifests/static.json")))
}

// checkStaticPod: a container that ends starts again in its sandbox. A pod that changes gets a new
// one.
func checkStaticPod(n *node) {
	n.writeStatic("idle")
	id := n.untilUp("default", static)[static]
	first := n.untilContainer(id, "app", "")
	_, err := n.ctr("tasks", "kill", "--signal", "SIGTERM", first)
	n.must(err)
	second := n.untilContainer(id, "app", first)
	if now := n.untilUp("default", static)[static]; now != id || second == id {
		n.t.Errorf("sandbox %s with container %s is now sandbox %s with container %s", id, first, now, second)
	}

	old := n.lifeOf(id)
	n.writeStatic("touch 10")
	n.wantRecords(old)
	n.untilPage(func(p page) error {
		if ids := p.running("default"); len(ids) != 1 || ids[0] == id {
			return fmt.Errorf("sandboxes of the static pod: %q, the first one was %s", ids, id)
		}
		return nil
	})
}

// lifeOf returns the current life of a sandbox.
func (n *node) lifeOf(id string) map[life]bool {
	n.t.Helper()
	lives := n.page().lives()
	maps.DeleteFunc(lives, func(l life, _ bool) bool { return l.id != id })
	if len(lives) != 1 {
		n.t.Fatalf("sandbox %s has no metrics", id)
	}
	return lives
}

// untilContainer waits until a container of a sandbox has another ID than before, and returns it.
func (n *node) untilContainer(sandbox, name, before string) (id string) {
	n.t.Helper()
	n.untilPage(func(p page) error {
		ids := p.labels("sandmeter_container_cpu_seconds_total", "container_id", "sandbox", sandbox, "container", name)
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == before })
		if len(ids) != 1 {
			return fmt.Errorf("container %s has IDs %q besides %q", name, ids, before)
		}
		id = ids[0]
		return nil
	})
	return id
}

// checkKilledShim: containerd ends the sandbox of a shim that is gone, and kubelet starts another.
func checkKilledShim(n *node) {
	n.writeStatic("touch 10")
	n.untilUp("default", static)
	before := n.page().running("default")
	if len(before) != 1 {
		n.t.Fatalf("sandboxes of the static pod: %q", before)
	}
	old := n.lifeOf(before[0])
	shims := processes("containerd-shim-runsc-v1", before[0])
	if len(shims) != 1 {
		n.t.Fatalf("shims of %s: %v", before[0], shims)
	}
	for pid := range shims {
		n.must(syscall.Kill(pid, syscall.SIGKILL))
	}
	n.wantRecords(old)
	n.untilPage(func(p page) error {
		if ids := p.running("default"); len(ids) != 1 || ids[0] == before[0] {
			return fmt.Errorf("sandboxes of the static pod: %q, the one of the killed shim was %s", ids, before[0])
		}
		return nil
	})
}

// processes returns the command lines of the processes whose command lines have these words.
func processes(words ...string) map[int]string {
	found := make(map[int]string)
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, err := os.ReadFile(path)
		matches := err == nil
		for _, word := range words {
			matches = matches && strings.Contains(string(line), word)
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && matches {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// checkKilledServer: kubelet starts a server again that was killed, and it has the same sandboxes.
func checkKilledServer(n *node) {
	n.create("restart", idle("restart", "one"))
	n.untilUp("restart", "one")
	before := n.page().lives()
	killed := n.serverProcess()
	pid, err := strconv.Atoi(filepath.Base(killed))
	n.must(err)
	n.must(syscall.Kill(pid, syscall.SIGKILL))
	n.until(func() error {
		servers, err := n.servers()
		if err == nil && (len(servers) != 1 || len(servers[0].Status.ContainerStatuses) != 1 || servers[0].Status.ContainerStatuses[0].RestartCount != 1) {
			err = fmt.Errorf("not one server that was restarted: %+v", servers)
		}
		return err
	})
	n.wantSame(before)
	if now := n.serverProcess(); now == killed {
		n.t.Errorf("the server is still %s", now)
	}
}

// checkLeftovers: when all pods are deleted, each sandbox that ever was on a page has a record, and
// neither the runtime root nor the node has anything of one.
func checkLeftovers(n *node) {
	if err := os.Remove(n.file("manifests/static.json")); !errors.Is(err, fs.ErrNotExist) {
		n.must(err)
	}
	n.remove("shop", "restart", "drain")
	n.wantRecords(n.seen)
	n.untilPage(func(p page) error {
		left, err := filepath.Glob(filepath.Join(runtimeRoot, "*.state"))
		if running, _ := p.value("sandmeter_num_sandboxes_running"); err != nil || len(left) > 0 || running != 0 {
			return fmt.Errorf("the runtime root has %q, %v sandboxes run (%v)", left, running, err)
		}
		return nil
	})
	n.page().want(n.t, 0, "sandmeter_num_state_files_unreadable")
	n.until(func() error { // the command that removed the last sandbox may still run
		for pid, line := range processes("runsc") {
			if !strings.Contains(line, "sandmeter") { // the server names runsc too
				return fmt.Errorf("process %d is left: %s", pid, line)
			}
		}
		return nil
	})
}
