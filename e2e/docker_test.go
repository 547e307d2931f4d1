package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// envRequireDocker names the environment variable that turns skipping TestDocker into failing when it is "1".
const envRequireDocker = "SANDMETER_REQUIRE_DOCKER"

// dockerExecRoot is Docker's default for where it keeps the runtime root of its containers, as runtime-runc/moby. A control socket below it
// has a path of defaultSocketPath bytes: more than connect(2) takes.
const (
	dockerExecRoot    = "/var/run/docker"
	defaultSocketPath = 109
)

// A docker is a Docker daemon with one more runtime, runsc, in network and mount namespaces of its own, and with all of its files in
// one folder.
type docker struct {
	t      *testing.T
	dir    string
	client string // the program docker
	daemon *exec.Cmd
	ended  chan struct{} // closed when the daemon has been waited for
	log    testkit.Buffer
	addr   string // of the metric server that sandboxes are told of
}

// noDocker skips the test, or fails it where Docker is required.
func noDocker(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(envRequireDocker) == "1" {
		t.Fatal(why)
	}
	t.Skipf("%s; $%s=1 makes this an error", why, envRequireDocker)
}

// newDocker starts a Docker daemon that ends with the test, or skips the test where there can be none.
func newDocker(t *testing.T) *docker {
	t.Helper()
	runsc := realRunsc(t)
	program, err := exec.LookPath("dockerd")
	if err != nil {
		noDocker(t, err.Error()+": install it, with Debian's package docker.io for instance")
	}
	d := &docker{t: t, dir: dockerDir(t), client: dockerClient(t, program), ended: make(chan struct{})}
	d.addr = filepath.Join(d.dir, "sandmeter.sock") // metrics.sock is one of the daemon's own
	d.write("daemon.json", map[string]any{
		"deprecated-key-path": filepath.Join(d.dir, "key.json"), // else it is in /etc
		"runtimes": map[string]any{
			"runsc": map[string]any{
				"path":        runsc,
				"runtimeArgs": []string{"--platform=systrap", "--ignore-cgroups", "--metric-server=" + d.addr},
			},
		},
	})
	d.daemon = exec.Command(program, "--config-file", filepath.Join(d.dir, "daemon.json"), "--data-root", filepath.Join(d.dir, "data"),
		"--exec-root", d.dir, "--pidfile", filepath.Join(d.dir, "pid"), "--host", "unix://"+d.socket())
	d.daemon.Stdout, d.daemon.Stderr = &d.log, &d.log
	// What it mounts, and the bridge and the firewall rules that it makes, are nobody else's and go with it.
	d.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	d.daemon.WaitDelay = time.Second
	pluginsOfOthers := exists("/run/docker/plugins")
	d.must(d.daemon.Start())
	go func() {
		defer close(d.ended)
		_ = d.daemon.Wait() // ProcessState has what there is to say
	}()
	t.Cleanup(func() {
		d.end()
		if !pluginsOfOthers { // the one folder that it makes elsewhere; not removed where something is in it
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

// dockerDir makes a folder whose path is as long as Docker's default, so that all paths below it are.
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

// dockerClient returns the program docker that was installed with a daemon.
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

// root is the runtime root of the daemon's containers.
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
	doc, err := json.Marshal(value)
	d.must(err)
	d.must(os.WriteFile(filepath.Join(d.dir, name), doc, 0o600))
}

// try runs `docker args…` and returns what it prints.
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

// run is try for what has to work.
func (d *docker) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(nil, args...)
	d.must(err)
	return out
}

// image makes an image that holds the program sandlab, and nothing else.
func (d *docker) image(name string) {
	d.t.Helper()
	program, err := os.ReadFile(sandlab)
	d.must(err)
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	d.must(w.WriteHeader(&tar.Header{Name: "sandlab", Mode: 0o755, Size: int64(len(program))}))
	_, err = w.Write(program)
	d.must(err)
	d.must(w.Close())
	_, err = d.try(image.Bytes(), "import", "-", name)
	d.must(err)
}

// end ends the daemon, and with it its containers.
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

// The lives of a Docker container whose runtime is runsc, with paths as long as Docker's are by default.
func TestDocker(t *testing.T) {
	d := newDocker(t)
	d.image("local/app:1")
	id := d.run("run", "--detach", "--runtime=runsc", "--name=app", "local/app:1", "/sandlab", "workload", "touch", "10")

	var state struct {
		Sandbox struct{ ControlSocketPath string }
	}
	doc, err := os.ReadFile(filepath.Join(d.root(), id+"_sandbox:"+id+".state"))
	d.must(err)
	d.must(json.Unmarshal(doc, &state))
	if path := state.Sandbox.ControlSocketPath; len(path) != defaultSocketPath {
		t.Errorf("the control socket's path has %d bytes, not %d as by default: %s", len(path), defaultSocketPath, path)
	}

	client := metricclient.NewMetricClient(d.addr, d.root())
	defer client.Close()
	w := &world{t: t, addr: d.addr, client: client}
	s := w.startServer([]string{"serve", "--root", d.root(), "--web.listen-address", d.addr})
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
	newLife("docker run")

	var opens float64
	w.until(func() error {
		if opens, _ = w.scrape().value("runsc_fs_opens"); opens < 10 {
			return errNot("the container's program has opened ten files")
		}
		return nil
	})
	exported := parsePage(t, metricclient.MetricData(w.command("export", "--root", d.root(), id)))
	exported.wantValue(t, 1, alwaysThere, "sandbox", id)

	d.run("exec", "app", "/sandlab", "--help")
	p := w.scrape()
	p.wantLives(t, []string{id}, nil)
	if more, _ := p.value("runsc_fs_opens"); more <= opens {
		t.Errorf("file opens are %v before docker exec, %v after it", opens, more)
	}

	d.run("pause", "app")
	w.scrape().wantLives(t, []string{id}, nil)
	d.run("unpause", "app")
	w.scrape().wantLives(t, []string{id}, nil)

	d.run("stop", "app")
	w.scrape().wantLives(t, nil, nil) // Docker deletes the sandbox and keeps the container
	d.run("start", "app")
	newLife("docker start")
	d.run("restart", "app")
	newLife("docker restart")
	other := d.run("run", "--detach", "--runtime=runsc", "--rm", "local/app:1", "/sandlab", "workload", "idle")
	w.scrape().wantLives(t, slices.Sorted(slices.Values([]string{id, other})), nil)
	d.run("kill", "app")
	w.until(func() error {
		if got := w.scrape().sandboxes(); !slices.Equal(got, []string{other}) {
			return fmt.Errorf("after docker kill: %q", got)
		}
		return nil
	})
	w.scrape().wantLives(t, []string{other}, nil)
	w.scrape().wantValue(t, 4, "runsc_meta_num_sandboxes_total")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0) // by then the log is complete
	if log := s.err.String(); strings.Contains(log, "refused") {
		t.Errorf("the log says:\n%s", log)
	}
}
