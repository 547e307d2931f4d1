package vm

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is the directory of this checkout, release the version of the package that is installed, and
// next that of the one to which it is upgraded.
const (
	checkout = "../.."
	release  = "v1.2.3"
	next     = "v1.3.0"
)

// finalLog is runsc's flag --final-metrics-log, and overrides the directory of files that override the
// settings of the unit.
const (
	finalLog  = "/var/lib/final/%ID%.log"
	overrides = "/etc/systemd/system/sandmeter.service.d"
)

// makePrograms returns the second disk of all machines: the package, runsc, and the program guest.
func makePrograms(t *testing.T) (disk string) {
	t.Helper()
	dir := t.TempDir()
	stage, disk := filepath.Join(dir, "sandmeter"), filepath.Join(dir, "disk")
	run := func(in, name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), "CGO_ENABLED=0", "SOURCE_DATE_EPOCH=1777863721")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	run(".", "mkdir", "-p", stage+"/bin", stage+"/next", stage+"/src")
	run(".", "go", "build", "-buildvcs=false", "-trimpath", "-o", stage+"/guest", "./guest")
	run(checkout+"/packaging", "go", "run", "-buildvcs=false", "./build", "-version", release, "-arch", "amd64", "-out", stage)
	run(checkout+"/bin", "cp", "-rL", "runsc", "gvisor-bin", stage+"/bin")
	if !*few {
		run(checkout+"/packaging", "go", "run", "-buildvcs=false", "./build", "-version", next, "-arch", "amd64", "-out", stage+"/next")
		run(checkout+"/bin", "cp", "containerd-shim-runsc-v1", stage+"/bin")
		stageUnitTests(run, stage)
	}
	for driver, name := range map[string]string{"systemd": "daemon", "cgroupfs": "cgroupfs"} {
		text := `{"exec-opts":["native.cgroupdriver=` + driver + `"],"runtimes":{"runsc":{"path":"/sandmeter/bin/runsc","runtimeArgs":["--platform=systrap","--final-metrics-log=` + finalLog + `"]}}}`
		if err := os.WriteFile(filepath.Join(stage, name+".json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(".", "truncate", "-s", "2G", disk)
	run(".", "mkfs.ext4", "-q", "-d", stage, disk)
	return disk
}

// serve installs the package, imports the image of the containers, and starts the server that the flags
// select.
func (m *machine) serve() {
	m.t.Helper()
	m.sh("mkdir -p " + overrides + " " + path.Dir(finalLog))
	m.write(overrides+"/test.conf", "[Service]\nEnvironment=SANDMETER_FINAL_RECORDS=/var/log/sandmeter/records SANDMETER_FINAL_METRICS_LOG="+strings.ReplaceAll(finalLog, "%", "%%"))
	m.sh("dpkg -i /sandmeter/sandmeter_*.deb")
	m.sh("tar -C /sandmeter -c guest | docker import - guest:1")
	m.address = "localhost:19640"
	if *served == "unit" {
		m.sh("systemctl is-active sandmeter")
		return
	}
	m.serveInContainer()
}

// serveInContainer starts the server as the chart does, with the same flags, mounts and privileges.
func (m *machine) serveInContainer() {
	m.t.Helper()
	m.sh("systemctl disable --now sandmeter; tar -C /usr/bin -c sandmeter | docker import - sandmeter:1")
	options, listen := "", "--web.listen-address=:19640"
	if *served == "chart-net" {
		options, listen = "--network host --cap-add NET_ADMIN", "--web.listen-address=127.0.0.1:19640"
	}
	m.sh("docker run --detach --name sandmeter --pid host --read-only --user 0:0 --cap-drop ALL " + options +
		" --security-opt no-new-privileges --security-opt apparmor=unconfined" +
		" --volume /sys/fs/cgroup:/sys/fs/cgroup:ro --volume /run/docker:/run/docker:ro" +
		" --volume /sandmeter/bin:/runsc:ro --volume /var/log/sandmeter:/var/log/sandmeter" +
		" sandmeter:1 /sandmeter serve " + listen + " --root='/run/docker/runtime-*/*' --runsc=/runsc/runsc --final-records=/var/log/sandmeter/records")
	if *served == "chart" {
		m.address = strings.TrimSpace(m.sh("docker inspect --format '{{.NetworkSettings.IPAddress}}' sandmeter")) + ":19640"
	}
	m.until("the server in a container", "curl -fsS -o /dev/null "+m.address+"/metrics")
}
