package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const serviceUnit = "../systemd/sandmeter.service"

func TestParseUnit(t *testing.T) {
	f := func(text, wantErr string, want ...setting) {
		t.Helper()
		got, err := parseUnit([]byte(text))
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%q: %v, want %q", text, err, wantErr)
			}
			return
		}
		if err != nil || !slices.Equal(got, unit(want)) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	f("", "")
	f("# comment\n; comment\n\n[Service]\nUser=root\n", "", setting{"Service", "User", "root"})
	f("A=1\n[Unit]\nA=2=3\nB=\n", "", setting{"", "A", "1"}, setting{"Unit", "A", "2=3"}, setting{"Unit", "B", ""})
	f("[Service]\nExecStart=/bin/a \\\n", "line 2 is no setting of one line")
	f("[Service]\nwords\n", "line 2 is no setting of one line")
}

func TestUnitValues(t *testing.T) {
	u, err := parseUnit([]byte("[Service]\nA=1\nA=\nA=2\nA=3\nB=yes\nB=no\nUMask=0077\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := u.all("A"); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("A has %q: an empty value removes those before it", got)
	}
	if value, ok := u.last("B"); value != "no" || !ok || u.is("B") {
		t.Errorf("B is %q: the last value counts", value)
	}
	if got := u.octal("UMask", 0); got != 0o077 {
		t.Errorf("UMask is %o", got)
	}
	if got := u.octal("Missing", 0o22); got != 0o22 {
		t.Errorf("a missing mode is %o", got)
	}
}

func TestNewProcess(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "settings")
	if err := os.WriteFile(file, []byte("# comment\nA=of the file\nB=\"quoted\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := parseUnit([]byte("[Service]\nExecStart=/bin/program serve\nEnvironment=A=of the unit\nEnvironment=C=c\nRuntimeDirectory=r\n" +
		"EnvironmentFile=-" + dir + "/missing\nEnvironmentFile=-" + file + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProcess(u, "", []string{"D=d"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"A=of the file", "B=quoted", "C=c", "D=d", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "RUNTIME_DIRECTORY=/run/r"}
	if !slices.Equal(p.env, want) || !slices.Equal(p.args, []string{"/bin/program", "serve"}) {
		t.Errorf("%q with %q, want %q", p.args, p.env, want)
	}
	u = append(u, setting{"Service", "ExecStart", "program $A"})
	if _, err := newProcess(u, "", nil); err == nil {
		t.Error("a relative path and a variable are no error")
	}
}

// TestUnknownSetting: a unit that this program cannot imitate is an error, not an unrestricted run.
func TestUnknownSetting(t *testing.T) {
	u, err := readUnit(serviceUnit)
	if err != nil {
		t.Fatal(err)
	}
	err = confine(append(u, setting{"Service", "PrivateUsers", "yes"}), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "does not know: PrivateUsers") {
		t.Errorf("confine returns %v", err)
	}
}

// A probe is a shell command, and whether it has to succeed under the restrictions of a unit.
type probe struct {
	command string
	permits bool
	setting string // what permits or denies it
}

// probes are checked with the packaged unit.
var probes = []probe{
	{"echo x >/var/log/sandmeter/unitrun-probe && rm /var/log/sandmeter/unitrun-probe", true, "LogsDirectory"},
	{"test \"$(stat -c %a /var/log/sandmeter)\" = 750", true, "LogsDirectoryMode"},
	{"echo x >/run/sandmeter/unitrun-probe && rm /run/sandmeter/unitrun-probe", true, "RuntimeDirectory"},
	{"echo x >/tmp/unitrun-probe", true, "PrivateTmp"},
	{"echo x >/dev/null", true, "PrivateDevices"},
	{"test $(ls /dev | wc -l) -le 8", true, "PrivateDevices"},
	{"test \"$(umask)\" = 0077", true, "UMask"},
	{"test $(ulimit -n) -le 65536", true, "LimitNOFILE"},
	{"grep -q '^CapPrm:\t0*1000$' /proc/self/status", true, "CapabilityBoundingSet"},
	{"grep -q '^CapBnd:\t0*1000$' /proc/self/status", true, "CapabilityBoundingSet"},
	{"grep -q '^NoNewPrivs:\t1$' /proc/self/status", true, "NoNewPrivileges"},
	{"ls /proc/1/fd >/dev/null || ls /proc/1 >/dev/null", true, "other processes are visible"},
	{"echo x >/etc/unitrun-probe", false, "ProtectSystem"},
	{"echo x >/var/lib/unitrun-probe", false, "ProtectSystem"},
	{"ls /root", false, "ProtectHome"},
	{"ls /home", false, "ProtectHome"},
	{"cat /proc/sys/kernel/hostname >/proc/sys/kernel/hostname", false, "ProtectKernelTunables"},
	{"mkdir /sys/fs/cgroup/unitrun-probe", false, "ProtectControlGroups"},
	{"chmod 4755 /tmp/unitrun-probe", false, "RestrictSUIDSGID"},
	{"unshare --user true", false, "RestrictNamespaces"},
	{"mount -t tmpfs tmpfs /tmp", false, "SystemCallFilter"},
	{"chown 1 /tmp/unitrun-probe", false, "SystemCallFilter"},
	{"nice -n -5 true 2>&1 | grep -q .", true, "SystemCallFilter: @resources"},
	{"setarch --addr-no-randomize true", false, "LockPersonality"},
	{"hostname probe", false, "ProtectHostname"},
	{"ip link", true, "RestrictAddressFamilies"},
	{"perl -e 'socket(S, 17, 3, 0); exit($! == 97)'", false, "RestrictAddressFamilies: AF_PACKET, EAFNOSUPPORT"},
}

// visibleProbes are checked with a unit that shows the directories which the packaged one hides.
var visibleProbes = []probe{
	{"ls /tmp/unitrun-visible", true, "PrivateTmp=no"},
	{"echo x >/tmp/unitrun-visible/x", false, "ProtectSystem"},
	{"ls /root", true, "ProtectHome=read-only"},
	{"echo x >/root/unitrun-probe", false, "ProtectHome=read-only"},
}

// TestRestrictions runs a shell under the restrictions of the packaged unit.
func TestRestrictions(t *testing.T) {
	needsRestrictions(t)
	expectProbes(t, "", probes)
	if _, err := os.Stat("/tmp/unitrun-probe"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PrivateTmp: a file in the private directory is in that of all: %v", err)
	}
}

// TestVisibleDirectories does so with settings that show hidden directories.
func TestVisibleDirectories(t *testing.T) {
	needsRestrictions(t)
	const dir = "/tmp/unitrun-visible"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	expectProbes(t, "[Service]\nPrivateTmp=no\nProtectHome=read-only\n", visibleProbes)
}

// needsRestrictions skips the test where restrictions are not possible.
func needsRestrictions(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		unavailable(t, errors.New("this takes root"))
	}
	for _, program := range []string{"systemd-analyze", "unshare", "setarch", "hostname", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			unavailable(t, err)
		}
	}
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		unavailable(t, fmt.Errorf("mount namespaces are not permitted: %w: %s", err, out))
	}
	for _, dir := range []string{"/run/sandmeter", "/var/log/sandmeter"} { // the unit makes them
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			t.Cleanup(func() {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// expectProbes runs probes under the restrictions of the packaged unit, with settings that override its.
func expectProbes(t *testing.T, settings string, probes []probe) {
	t.Helper()
	program, script := build(t), "exec 2>/dev/null\n"
	for _, p := range probes {
		script += "if ( " + p.command + " ) >/dev/null; then echo yes; else echo no; fi\n"
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "serve"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	unitFile := filepath.Join(dir, "probe.service")
	text, err := os.ReadFile(serviceUnit)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "/usr/bin/sandmeter serve", "/bin/sh "+dir+"/serve", 1)
	if err := os.WriteFile(unitFile, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(unitFile+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unitFile+".d/override.conf", []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-visible", dir, unitFile).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(probes) {
		t.Fatalf("the shell wrote\n%s", out)
	}
	for i, p := range probes {
		if permitted := answers[i] == "yes"; permitted != p.permits {
			t.Errorf("%s (%s): permitted is %t", p.command, p.setting, permitted)
		}
	}
}

// build builds this program.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "unitrun")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// unavailable skips the test because something that it needs is missing, or fails it in CI, which has
// everything.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}
