package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// serverImage is the image of the program under test, as `make image` writes it.
const serverImage = "sandmeter:e2e"

// writeImage writes the image once, and returns the path of its file.
var writeImage = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Join(filepath.Dir(sandmeter), "image"))
	if err != nil {
		return "", err
	}
	license, err := filepath.Abs("../LICENSE")
	if err != nil {
		return "", err
	}
	input := filepath.Join(dir, "input")
	if err := errors.Join(os.MkdirAll(input, 0o755), os.Symlink(sandmeter, filepath.Join(input, "sandmeter")),
		os.Symlink(license, filepath.Join(input, "third-party-licenses.txt"))); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*ample) // the first time, it builds packaging/image
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "run", "-buildvcs=false", "./image", "-version", "e2e", "-license", license, "-dir", dir,
		runtime.GOARCH+"="+input)
	cmd.Dir = "../packaging"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return filepath.Join(dir, "sandmeter-e2e-"+runtime.GOARCH+".oci.tar"), nil
})

// loadImage makes the image of the program under test known to the daemon.
func (d *docker) loadImage() {
	d.t.Helper()
	path, err := writeImage()
	d.must(err)
	image, err := os.ReadFile(path)
	d.must(err)
	out, err := d.try(image, "load")
	d.must(err)
	if want := "Loaded image: " + serverImage; out != want {
		d.t.Fatalf("docker load says %q, want %q", out, want)
	}
}

// imageOptions are the options of docker run that docs/operating.md gives.
const imageOptions = "--pid host --user 0 --cap-drop ALL --security-opt no-new-privileges --read-only"

// runImage starts the server from its image with imageOptions, more options, and arguments for the
// image.
func (d *docker) runImage(name string, options []string, args ...string) {
	d.t.Helper()
	_, err := d.inNetwork("ip", "link", "set", "lo", "up") // as on any host
	d.must(err)
	line := append([]string{"run", "--detach", "--name", name, "--publish", "127.0.0.1:19640:19640"}, strings.Fields(imageOptions)...)
	line = append(line, "--volume", d.root()+":"+d.root()+":ro", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro",
		"--env", "SANDMETER_METRIC_DENY="+onlyServe) // any flag can be a variable
	line = append(append(line, options...), serverImage)
	d.run(append(line, args...)...)
}

// inNetwork runs a command in the network namespace of the daemon.
func (d *docker) inNetwork(words ...string) ([]byte, error) {
	cmd := exec.Command("nsenter", append([]string{"--net", "--target", strconv.Itoa(d.daemon.Process.Pid)}, words...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, &said)
	}
	return out, err
}

// get scrapes the port that the daemon publishes, from the daemon's host.
func (d *docker) get() (page, error) {
	out, err := d.inNetwork(sandmeter, "get")
	if err != nil {
		return page{}, err
	}
	return parsePage(d.t, metricclient.MetricData(out)), nil
}

// untilServed scrapes until a sandbox has the value of a metric.
func (d *docker) untilServed(id, metric string) (p page) {
	d.t.Helper()
	testkit.Retry(d.t, func() (err error) {
		if p, err = d.get(); err != nil {
			return err
		}
		if value, _ := p.value(metric, "sandbox", id); value <= 0 {
			return errNot(metric + " of " + id + " is above 0")
		}
		return nil
	})
	return p
}

// TestImage runs the image of the server beside the containers that it serves, without any
// capability and with a read-only file system.
func TestImage(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.image("local/app:1")
	d.loadImage()
	t.Run("config", func(t *testing.T) { wantImageConfig(t, d) })
	id := d.run("run", "--detach", "--runtime=runsc-cgroups", "--memory=512m", "local/app:1", "/sandlab", "workload", "touch", "10")

	d.runImage("sandmeter", nil, "serve", "--root", d.root())
	p := d.untilServed(id, "runsc_fs_opens_total")
	p.wantValue(t, 1, "sandmeter_sandbox_up", "sandbox", id)
	p.wantValue(t, 512<<20, "sandmeter_container_limit_memory_bytes", "sandbox", id, "container", id)
	p.wantNone(t, "sandmeter_sandbox_usage_absent", "sandbox", id)
	for _, metric := range []string{"sandmeter_sandbox_cpu_seconds_total", "sandmeter_sandbox_memory_bytes", "sandmeter_sandbox_network_receive_bytes_total"} {
		d.untilServed(id, metric)
	}
	d.run("exec", "sandmeter", "/sandmeter", "health", "--root", d.root())
	if list := d.run("exec", "sandmeter", "/sandmeter", "list", "--no-trunc", "--root", d.root()); !strings.Contains(list, id) {
		t.Errorf("sandmeter list in the container says:\n%s", list)
	}
	d.run("stop", "sandmeter")
	if code := d.run("inspect", "--format", "{{.State.ExitCode}}", "sandmeter"); code != "0" {
		t.Errorf("docker stop ends the server with exit code %s", code)
	}
	d.run("rm", "--force", "sandmeter", id)
	t.Run("as shipped", func(t *testing.T) { wantServedAsShipped(t, d) })
	t.Run("without root", func(t *testing.T) { wantImageWithoutRoot(t, d) })
}

// wantServedAsShipped: with the directory of the host's runsc mounted where the image's PATH has it, the
// server in the image serves containers whose runtime has no flags.
func wantServedAsShipped(t *testing.T, d *docker) {
	id := d.run("run", "--detach", "--runtime="+asShipped, "local/app:1", "/sandlab", "workload", "touch", "10")
	// The default command is serve, and flags can be variables.
	d.runImage("sandmeter", []string{"--env", "SANDMETER_ROOT=" + d.root(), "--volume", filepath.Dir(realRunsc(t)) + ":/usr/local/bin:ro"})
	d.untilServed(id, "runsc_fs_opens_total")
}

// wantImageWithoutRoot: without --user 0, the server names the missing permission.
func wantImageWithoutRoot(t *testing.T, d *docker) {
	d.run("run", "--detach", "--runtime=runsc-cgroups", "local/app:1", "/sandlab", "workload", "idle")
	out, err := d.try(nil, "run", "--rm", "--volume", d.root()+":"+d.root()+":ro", serverImage, "serve", "--root", d.root())
	if err == nil || !strings.Contains(err.Error(), "permission") {
		t.Errorf("the server says\n%s\n%v", out, err)
	}
}

// TestImageOptions: docs/operating.md has the options with which the image is tested.
func TestImageOptions(t *testing.T) {
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), imageOptions) {
		t.Errorf("the page lacks the options %s", imageOptions)
	}
}

// wantImageConfig checks what `docker inspect` shows of the image.
func wantImageConfig(t *testing.T, d *docker) {
	type config struct {
		User                 string
		Env, Entrypoint, Cmd []string
		ExposedPorts         map[string]struct{}
	}
	var got config
	d.must(json.Unmarshal([]byte(d.run("inspect", "--format", "{{json .Config}}", serverImage)), &got))
	want := config{
		User: "65532:65532", Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SANDMETER_WEB_LISTEN_ADDRESS=:19640"},
		Entrypoint: []string{"/sandmeter"}, Cmd: []string{"serve"}, ExposedPorts: map[string]struct{}{"19640/tcp": {}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docker inspect (-want +got):\n%s", diff)
	}
}
