package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

const serviceUnit = "../packaging/systemd/sandmeter.service"

// needsSystemd skips the test where systemd-analyze is not installed.
func needsSystemd(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		runsctest.Unavailable(t, err)
	}
}

// TestServiceUnit: the unit of the packages is as restricted as possible.
func TestServiceUnit(t *testing.T) {
	needsSystemd(t)
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=25", serviceUnit).CombinedOutput()
	if err != nil {
		t.Errorf("the exposure of the unit is 2.5 or more: %v\n%s", err, out)
	}
}

// TestUnitOrder: with Docker and containerd, systemd can start the service and its socket in their order, and
// the service starts before each engine, so it stops after it.
func TestUnitOrder(t *testing.T) {
	needsSystemd(t)
	verify := func(docker, containerd string) string {
		t.Helper()
		const service = "[Service]\nExecStart=/bin/true\n[Unit]\n"
		dir := t.TempDir()
		units := map[string]string{
			"docker.service":     service + "After=network-online.target docker.socket containerd.service\nWants=network-online.target\nRequires=docker.socket\n" + docker,
			"docker.socket":      "[Socket]\nListenStream=/run/docker.sock\n",
			"containerd.service": service + "After=network.target local-fs.target\n" + containerd,
			"test.target":        "[Unit]\nRequires=multi-user.target sandmeter.service sandmeter.socket docker.service containerd.service\n",
		}
		for _, name := range []string{"sandmeter.service", "sandmeter.socket"} {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(serviceUnit), name))
			if err != nil {
				t.Fatal(err)
			}
			units[name] = strings.Replace(string(text), "/usr/bin/sandmeter", "/bin/true", 1)
		}
		for name, text := range units {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "test.target"))
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, _ := cmd.CombinedOutput() // a cycle is no error
		return string(out)
	}
	if out := verify("", ""); strings.Contains(out, "cycle") {
		t.Errorf("systemd cannot order the units:\n%s", out)
	}
	const earlier = "Before=sandmeter.service\n" // contradicts the unit
	for engine, out := range map[string]string{"docker": verify(earlier, ""), "containerd": verify("", earlier)} {
		if !strings.Contains(out, "cycle") {
			t.Errorf("the service has no place before %s:\n%s", engine, out)
		}
	}
}

// underUnit returns the program of the unit with more settings, under the restrictions of the unit, or
// those with which a drop-in file overrides them.
func (w *world) underUnit(override string, settings ...string) *program {
	w.t.Helper()
	needsSystemd(w.t)
	unitrun := filepath.Join(w.t.TempDir(), "unitrun")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", unitrun, "./unitrun")
	build.Dir = "../packaging"
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("building unitrun: %v\n%s", err, out)
	}
	args := []string{"-program", sandmeter}
	for _, path := range []string{"/run", "/var/log"} { // the unit makes directories there, with modes of their own
		dir := w.unitPath(path)
		w.must(os.MkdirAll(dir, 0o755))
		args = append(args, "-bind", dir+":"+path)
	}
	unit := serviceUnit
	if override == "" {
		for _, dir := range []string{w.node.Dir(), filepath.Dir(sandmeter), filepath.Dir(realRunsc(w.t))} {
			args = append(args, "-visible", dir) // they may be in /tmp and /root, where the unit sees nothing
		}
	} else {
		unit = w.overridden(override)
	}
	return newRun(w.t, unitrun, append(append(args, unit), settings...)...)
}

// overridden returns a copy of the unit with a file that overrides its settings.
func (w *world) overridden(override string) string {
	w.t.Helper()
	text, err := os.ReadFile(serviceUnit)
	w.must(err)
	unit := filepath.Join(w.t.TempDir(), filepath.Base(serviceUnit))
	w.must(os.WriteFile(unit, text, 0o600))
	w.must(os.Mkdir(unit+".d", 0o700))
	w.must(os.WriteFile(unit+".d/override.conf", []byte(override), 0o600))
	return unit
}

// TestHiddenRoots: with the settings of the docs, the service serves a runtime root in a directory that
// it hides otherwise.
func TestHiddenRoots(t *testing.T) {
	overrides := examples(t, "ini")
	if len(overrides) != 1 {
		t.Fatalf("the documents have %d blocks of settings, want one", len(overrides))
	}
	w := newWorld(t)
	w.setAddr(w.unitPath("/run/sandmeter/metrics.sock"))
	w.start("hidden", "idle")
	settings := []string{"SANDMETER_WEB_LISTEN_ADDRESS=/run/sandmeter/metrics.sock", "SANDMETER_ROOT=" + w.root, "SANDMETER_METRIC_NAMING=runsc",
		"SANDMETER_ZERO_COUNTERS=off", "SANDMETER_METRIC_DENY=" + onlyServe}
	s := w.startProgram(w.underUnit(overrides[0], settings...))
	w.wantConfined(s.Process.Pid)
	w.scrape().wantRunning(t, []string{"hidden"}, []string{"hidden"})
	s.signal(unix.SIGTERM)
	s.wantEnd(ample, 0)
}

// unitPath returns where a path in /run or /var/log under the unit is outside of it.
func (w *world) unitPath(path string) string { return filepath.Join(w.node.Dir(), "unit", path) }

// wantSame returns a function that fails the test unless the files are as they were: there or not, with
// the same mode and time.
func wantSame(t *testing.T, paths ...string) (check func()) {
	t.Helper()
	state := func() (all string) {
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil {
				all += err.Error() + "\n"
			} else {
				all += fmt.Sprintln(path, info.Mode(), info.ModTime())
			}
		}
		return all
	}
	before := state()
	return func() {
		t.Helper()
		if after := state(); after != before {
			t.Errorf("the files of the machine are\n%snot\n%s", after, before)
		}
	}
}

// TestServiceUnderUnit: under the restrictions of the unit the server queries sandboxes, measures them,
// runs runsc for their registration, listens in /run/sandmeter, and writes to /var/log/sandmeter.
// Neither Docker nor containerd has to be there. The directories of this machine stay as they are.
func TestServiceUnderUnit(t *testing.T) {
	w, id := newWorld(t), usageID("unit")
	defer wantSame(t, "/run/sandmeter", "/var/log/sandmeter")()
	socket, records := "/run/sandmeter/metrics.sock", "/var/log/sandmeter/records"
	w.setAddr(w.unitPath(socket))
	c := w.container(id, "use", "200ms", "1", "3")
	c.Cgroup, c.MetricServer = true, ""
	w.must(w.node.Run(w.ctx(), c))
	r := &recorded{world: w, file: w.unitPath(records)}
	notified := w.listenAsSystemd()
	server := w.underUnit("", "NOTIFY_SOCKET="+notified.LocalAddr().String(), "SANDMETER_WEB_LISTEN_ADDRESS="+socket, "SANDMETER_RUNSC="+realRunsc(t),
		"SANDMETER_ROOT=/run/no-containerd/*,/run/no-docker/moby,"+w.root, "SANDMETER_FINAL_RECORDS="+records,
		"SANDMETER_METRIC_NAMING=runsc", "SANDMETER_ZERO_COUNTERS=off", "SANDMETER_METRIC_DENY="+onlyServe)
	s := w.startProgram(server)
	message := make([]byte, 100)
	w.must(notified.SetReadDeadline(time.Now().Add(ample)))
	if n, err := notified.Read(message); err != nil || string(message[:n]) != "READY=1" {
		t.Errorf("systemd is told %q, %v: with Type=notify it waits for READY=1", message[:n], err)
	}
	w.wantConfined(s.Process.Pid)
	w.untilUsed(id) // the registration is that of runsc metric-metadata, because no state file has it
	p := w.scrape()
	p.wantRunning(t, []string{id}, []string{id})
	p.wantNone(t, "sandmeter_sandbox_usage_absent")
	wantUsage(t, "the memory", p.usageOf(t, id, "sandmeter_sandbox_memory_bytes"), memoryOf(t, id), memoryOf(t, id))
	w.must(os.Rename(r.file, r.file+".1"))
	w.must(w.node.Kill(w.ctx(), id, unix.SIGKILL))
	w.until(func() error {
		if records := r.records()[id]; len(records) != 1 || records[0].CPU == nil || *records[0].CPU < 0.2 {
			return fmt.Errorf("the records are %+v: there is no one with the CPU time", records)
		}
		return nil
	})
	s.signal(unix.SIGTERM)
	s.wantEnd(ample, 0)
}

// listenAsSystemd returns a socket to which a service writes that it is ready.
func (w *world) listenAsSystemd() *net.UnixConn {
	w.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(w.node.Dir(), "notify"), Net: "unixgram"})
	w.must(err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// wantConfined fails the test unless a process of root has no capability and cannot get one by executing
// a program, and has filters for its system calls.
func (w *world) wantConfined(pid int) {
	w.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	w.must(err)
	for _, line := range []string{"Uid:\t0\t0\t0\t0", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(data), "\n"+line+"\n") {
			w.t.Errorf("the server has no line %q in /proc/PID/status", line)
		}
	}
	if sets := w.capabilitySets(pid, "CapPrm"); !slices.Equal(sets, []string{"0000000000000000"}) {
		w.t.Errorf("threads of the server have the capabilities %q", sets)
	}
}
