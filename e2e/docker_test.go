package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// envRequireDocker names the environment variable that turns skipping TestDocker into failing when
// it is "1".
const envRequireDocker = "SANDMETER_REQUIRE_DOCKER"

// dockerExecRoot is Docker's default directory for the runtime root of its containers, as
// runtime-runc/moby. The path of a control socket below it has defaultSocketPath bytes, more than
// connect(2) takes.
const (
	dockerExecRoot    = "/var/run/docker"
	defaultSocketPath = 109
)

// asShipped is a runtime of the daemon: runsc with no flags but its release's.
const asShipped = "as-shipped"

// A docker is a Docker daemon with runsc as an additional runtime, in network and mount namespaces
// of its own, and with all of its files in one directory.
type docker struct {
	t      *testing.T
	dir    string
	client string // the program docker
	daemon *exec.Cmd
	ended  chan struct{} // closed when the daemon has ended
	log    testkit.Buffer
	addr   string // the --metric-server of the sandboxes
}

// noDocker skips the test, or fails it if Docker is required.
func noDocker(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(envRequireDocker) == "1" {
		t.Fatal(why)
	}
	t.Skipf("%s; $%s=1 makes this an error", why, envRequireDocker)
}

// newDocker starts a Docker daemon that ends with the test. It skips the test if Docker cannot run.
func newDocker(t *testing.T) *docker {
	t.Helper()
	path := realRunsc(t)
	program, err := exec.LookPath("dockerd")
	if err != nil {
		noDocker(t, err.Error()+": install it, with Debian's package docker.io for instance")
	}
	d := &docker{t: t, dir: dockerDir(t), client: dockerClient(t, program), ended: make(chan struct{})}
	d.addr = filepath.Join(d.dir, "sandmeter.sock") // metrics.sock belongs to the daemon
	runtime := func(flags ...string) map[string]any {
		return map[string]any{"path": path, "runtimeArgs": append(runsc.ReleaseFlags(path), flags...)}
	}
	d.write("daemon.json", map[string]any{
		"deprecated-key-path": filepath.Join(d.dir, "key.json"), // the default is in /etc
		"runtimes": map[string]any{
			asShipped:       runtime(),
			"runsc-cgroups": runtime("--platform=systrap", "--metric-server="+d.addr),
		},
	})
	d.daemon = exec.Command(program, "--config-file", filepath.Join(d.dir, "daemon.json"), "--data-root", filepath.Join(d.dir, "data"),
		"--exec-root", d.dir, "--pidfile", filepath.Join(d.dir, "pid"), "--host", "unix://"+d.socket())
	d.daemon.Stdout, d.daemon.Stderr = &d.log, &d.log
	// Its mounts, bridge and firewall rules are in its own namespaces and disappear with them.
	d.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	d.daemon.WaitDelay = time.Second
	pluginsOfOthers := exists("/run/docker/plugins")
	d.must(d.daemon.Start())
	go func() {
		defer close(d.ended)
		_ = d.daemon.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		d.end()
		if !pluginsOfOthers { // the only directory outside of its own; removed only if empty
			_ = os.Remove("/run/docker/plugins")
			_ = os.Remove("/run/docker")
		}
		for _, left := range runsctest.Leftovers(t, d.dir) {
			t.Errorf("left behind: %s", left)
		}
	})
	testkit.Retry(t, func() error {
		if d.hasEnded() {
			noDocker(t, "dockerd cannot run here: "+lastLine(&d.log))
		}
		_, err := d.try(nil, "version")
		return err
	})
	return d
}

func (d *docker) hasEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// dockerDir creates a directory whose path is as long as Docker's default, so that all paths below
// it are too.
func dockerDir(t *testing.T) string {
	t.Helper()
	const begin = "/tmp/sm"
	for i := os.Getpid(); ; i++ {
		dir := fmt.Sprintf("%s%0*d", begin, len(dockerExecRoot)-len(begin), i)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
}

// dockerClient returns the docker program that was installed with a daemon.
func dockerClient(t *testing.T, daemon string) string {
	t.Helper()
	if client, err := exec.LookPath(filepath.Join(filepath.Dir(daemon), "../bin/docker")); err == nil {
		return client
	}
	client, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// root returns the runtime root of the daemon's containers.
func (d *docker) root() string { return filepath.Join(d.dir, "runtime-runc", "moby") }

func (d *docker) socket() string { return filepath.Join(d.dir, "docker.sock") }

func (d *docker) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%v\nthe daemon's log:\n%s", err, &d.log)
	}
}

func (d *docker) write(name string, value any) {
	d.t.Helper()
	d.must(os.WriteFile(filepath.Join(d.dir, name), jsonOf(d.t, value), 0o600))
}

// try runs `docker args…` and returns its output.
func (d *docker) try(input []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.client, append([]string{"--host", "unix://" + d.socket()}, args...)...)
	cmd.Stdin = bytes.NewReader(input)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, &said)
	}
	return strings.TrimSpace(string(out)), err
}

// run is try for commands that must succeed.
func (d *docker) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(nil, args...)
	d.must(err)
	return out
}

// image creates an image that contains only the program sandlab.
func (d *docker) image(name string) {
	d.t.Helper()
	program, err := os.ReadFile(sandlab)
	d.must(err)
	_, err = d.try(tarOf(d.t, file{"sandlab", 0o755, program}), "import", "-", name)
	d.must(err)
}

// end ends the daemon and its containers.
func (d *docker) end() {
	d.t.Helper()
	if !d.hasEnded() {
		_ = d.daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(ample):
			d.t.Errorf("the daemon does not end; its log:\n%s", &d.log)
			_ = d.daemon.Process.Kill()
			<-d.ended
		}
		if code := d.daemon.ProcessState.ExitCode(); code != 0 {
			d.t.Errorf("the daemon ends with %d; its log:\n%s", code, &d.log)
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.t.Error(err)
	}
}

// TestDocker: the lives of Docker's containers, with paths as long as Docker's defaults, their usage, and a
// container whose runtime has none of our flags. The set-up of Docker says which runsc to ask.
func TestDocker(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.image("local/app:1")
	start := func(runtime string, args ...string) string {
		t.Helper()
		return d.run(append([]string{"run", "--detach", "--runtime=" + runtime}, args...)...)
	}
	id := start(asShipped, "--name=app", "local/app:1", "/sandlab", "workload", "touch", "10")
	var state struct {
		Sandbox struct{ ControlSocketPath string }
	}
	doc, err := os.ReadFile(filepath.Join(d.root(), id+"_sandbox:"+id+".state"))
	d.must(err)
	d.must(json.Unmarshal(doc, &state))
	if path := state.Sandbox.ControlSocketPath; len(path) != defaultSocketPath {
		t.Errorf("the control socket's path has %d bytes, not %d as by default: %s", len(path), defaultSocketPath, path)
	}

	w := &world{t: t, root: d.root()}
	w.setAddr(d.addr)
	s := w.startProgram(withPath(withDockerConfig(t, filepath.Join(d.dir, "daemon.json"), w.serveArgs("--linger=0")...), "/usr/bin:/bin:/usr/sbin:/sbin"))
	iterations := map[string]bool{}
	newLife := func(after string) {
		t.Helper()
		p := w.scrape()
		p.wantLives(t, []string{id}, nil)
		for _, iteration := range p.labels("runsc_meta_sandbox_presence", "iteration") {
			if iterations[iteration] {
				t.Errorf("after %s the iteration is an earlier life's", after)
			}
			iterations[iteration] = true
		}
	}
	var opens float64
	w.until(func() error {
		if opens, _ = w.scrape().value("runsc_fs_opens"); opens < 10 {
			return errNot("the container's program has opened ten files")
		}
		return nil
	})
	newLife("docker run")
	d.run("exec", "app", "/sandlab", "--help")
	if more, _ := w.scrape().value("runsc_fs_opens"); more <= opens {
		t.Errorf("file opens are %v before docker exec, %v after it", opens, more)
	}
	d.run("pause", "app")
	w.scrape().wantLives(t, []string{id}, nil)
	d.run("unpause", "app")
	d.run("stop", "app")
	w.scrape().wantLives(t, nil, nil) // Docker deletes the sandbox and keeps the container
	d.run("start", "app")
	newLife("docker start")
	d.run("restart", "app")
	newLife("docker restart")
	w.wantDockerUsage(d, id, start)
	w.scrape().wantValue(t, 4, "runsc_meta_num_sandboxes_total")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0) // the log is complete now
	if log := s.err.String(); strings.Contains(log, "refused") || !strings.Contains(log, `msg="Registration read from runsc"`) {
		t.Errorf("the log says:\n%s", log)
	}
}

// wantDockerUsage: Docker gives each sandbox a cgroup and a network of its own, unless its runtime ignores
// cgroups.
func (w *world) wantDockerUsage(d *docker, app string, start func(runtime string, args ...string) string) {
	t := w.t
	gateway := d.run("inspect", "--format", "{{.NetworkSettings.Gateway}}", app)
	id := start("runsc-cgroups", "--cpus=1.5", "--memory=512m", "local/app:1", "/sandlab", "workload", "use", "300ms", "200", "10", "20", gateway+":9")
	w.untilUsed(id)
	pid, err := strconv.Atoi(d.run("inspect", "--format", "{{.State.Pid}}", id))
	d.must(err)
	cgroup := "docker/" + id
	cpu, memory, sent := cpuOf(t, cgroup), memoryOf(t, cgroup), sentBy(t, pid)
	p := w.scrape()
	wantUsage(t, "the CPU time", p.usageOf(t, id, "sandmeter_sandbox_cpu_seconds_total"), cpu, cpuOf(t, cgroup))
	wantUsage(t, "the memory", p.usageOf(t, id, "sandmeter_sandbox_memory_bytes"), memory, memoryOf(t, cgroup))
	traffic := p.usageOf(t, id, "sandmeter_sandbox_network_transmit_bytes_total", "interface", "eth0")
	if wantUsage(t, "the traffic", traffic, sent, sentBy(t, pid)); traffic < 20e6 {
		t.Errorf("the traffic is %v, want 20 MB", traffic)
	}
	p.wantValue(t, 1.5, "sandmeter_container_limit_cpu_cores", "sandbox", id, "container", id)
	p.wantValue(t, 512<<20, "sandmeter_container_limit_memory_bytes", "sandbox", id, "container", id)
	p.usageOf(t, id, "sandmeter_sandbox_cpu_throttled_seconds_total")
	p.wantNone(t, "sandmeter_sandbox_usage_absent", "sandbox", id)
	d.run("kill", id)
	w.until(func() error {
		if hierarchyOf(cgroup, "cgroup.procs") != "" {
			return errNot("the cgroup is removed, although the server holds its files")
		}
		return nil
	})
	w.scrape().wantLives(t, []string{app}, nil)
}

// withDockerConfig returns a program in a mount namespace of its own, in which a file is the
// configuration of the host's Docker. It needs no other program in its PATH.
func withDockerConfig(t *testing.T, file string, args ...string) *program {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	const script = `path=$PATH; PATH=/usr/bin:/bin:/usr/sbin:/sbin
mount --make-rprivate / && mount -t tmpfs tmpfs /etc && mkdir /etc/docker && cp "$1" /etc/docker/daemon.json && shift && PATH=$path exec "$@"`
	return newRun(t, unshare, append([]string{"-m", "/bin/sh", "-c", script, "sh", file, sandmeter}, args...)...)
}
