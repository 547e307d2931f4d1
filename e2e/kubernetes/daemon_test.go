package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ample is longer than any step takes that does not wait on purpose, even on a busy machine.
const ample = 4 * time.Minute

// A daemon is a program of the node. It ends with the namespaces, or earlier with stop.
type daemon struct {
	name  string
	path  string
	args  []string
	log   string // path of its output, of all its runs
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// start runs the daemon, with PATH.
func (d *daemon) start(path string) error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd, d.ended = exec.Command(d.path, d.args...), make(chan struct{})
	d.cmd.Env = []string{"PATH=" + path, "HOME=/run"}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait() // ProcessState has the result
	}()
	return nil
}

// stop ends the daemon with SIGTERM, as an init system does.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s: %w\n%s", d.name, err, d.tail())
	}
	select {
	case <-d.ended:
		return nil
	case <-time.After(ample):
		return fmt.Errorf("%s does not end\n%s", d.name, d.tail())
	}
}

// kill ends the daemon with SIGKILL.
func (d *daemon) kill() error {
	err := d.cmd.Process.Kill()
	<-d.ended
	return err
}

func (d *daemon) hasEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// tail returns the last lines of the daemon's output.
func (d *daemon) tail() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return d.name + " says:\n" + strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// daemon starts a daemon of the node.
func (n *node) daemon(program string, args ...string) *daemon {
	n.t.Helper()
	d := &daemon{name: filepath.Base(program), path: program, args: args}
	d.log = filepath.Join(n.dir, d.name+".log")
	n.daemons = append(n.daemons, d)
	n.must(d.start(n.path()))
	return d
}

// until repeats a step until it succeeds.
func (n *node) until(step func() error) {
	n.t.Helper()
	deadline := time.Now().Add(ample)
	for {
		err := step()
		if err == nil {
			return
		}
		for _, d := range n.daemons {
			if d.hasEnded() {
				n.broken = true
				n.t.Fatalf("%s ended: %v\n%s", d.name, d.cmd.ProcessState, d.tail())
			}
		}
		if time.Now().After(deadline) {
			n.explain()
			n.t.Fatalf("after %v: %v", ample, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// explain logs what the daemons said last, and the events of the cluster.
func (n *node) explain() {
	n.t.Helper()
	for _, d := range n.daemons {
		n.t.Log(d.tail())
	}
	events, err := n.try(nil, n.programs+"/kubectl", "get", "events", "--all-namespaces", "--sort-by=.lastTimestamp")
	n.t.Log(events, err)
}

// must ends the test if a step failed.
func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// try runs a program of the node and returns its output.
func (n *node) try(input []byte, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + n.path(), "HOME=" + n.dir, "KUBECONFIG=" + n.kubeconfig()}
	if input != nil {
		cmd.Stdin = strings.NewReader(string(input))
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s%s", filepath.Base(program), strings.Join(args, " "), err, &said, out)
	}
	return string(out), err
}

// run is try for a program that must succeed.
func (n *node) run(program string, args ...string) string {
	n.t.Helper()
	out, err := n.try(nil, program, args...)
	n.must(err)
	return out
}
