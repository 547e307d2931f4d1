package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

// TestServiceUnit: the unit of the packages is as restricted as possible. `make test-vm` runs it.
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
