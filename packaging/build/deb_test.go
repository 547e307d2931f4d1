package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	settings = "/etc/default/sandmeter"
	enabled  = "/etc/systemd/system/multi-user.target.wants/sandmeter.service"
)

// TestDebLifeCycle installs, configures, upgrades, removes and purges the .deb with the real dpkg. `make
// test-vm` does the same with a real systemd, which starts the server.
func TestDebLifeCycle(t *testing.T) {
	needs(t, "dpkg", "deb-systemd-helper")
	m := newMachine(t)
	v1, v2 := m.copy(first(t).path(t, ".deb"), "/run/1.deb"), m.copy(next(t).path(t, ".deb"), "/run/2.deb")

	m.dpkg("-i", v1)
	m.wantTold("preset sandmeter.service; daemon-reload; start sandmeter.service")
	if !m.has(enabled) || m.has("/etc/systemd/system/sockets.target.wants/sandmeter.socket") {
		t.Error("the service is not enabled, or the socket is")
	}
	m.wantVerified()

	changed := m.read(settings) + "SANDMETER_WEB_LISTEN_ADDRESS=127.0.0.1:19700\n"
	m.write(settings, changed, 0o644)
	m.dpkg("-i", "--force-confdef", "--force-confold", v2)
	m.wantTold("daemon-reload; restart sandmeter.service")
	if got := m.read(settings); got != changed {
		t.Errorf("the settings are\n%s", got)
	}
	if got := m.read(settings + ".dpkg-dist"); !strings.Contains(got, "# New in 1.3.0.") || strings.Contains(got, ":19700") {
		t.Errorf("the settings of the new package are\n%s", got)
	}

	m.run("rm", enabled) // systemctl disable
	m.dpkg("-i", v2)
	m.wantTold("daemon-reload") // it is disabled and does not run
	if m.has(enabled) {
		t.Error("an upgrade enables the service again")
	}

	m.dpkg("-r", "sandmeter")
	m.wantTold("stop sandmeter.socket sandmeter.service; daemon-reload")
	if m.has("/usr/bin/sandmeter") || !m.has(settings) {
		t.Error("after the removal, the program is there, or the settings are not")
	}
	m.dpkg("-i", v2)
	m.told()
	if m.has(enabled) || m.read(settings) != changed {
		t.Error("the package does not come back as it was")
	}
	m.dpkg("-P", "sandmeter")
	m.wantTold("stop sandmeter.socket sandmeter.service; daemon-reload")
	if left := m.changed("sandmeter"); len(left) > 0 {
		t.Errorf("after the purge there are %q", left)
	}
	if out, err := m.try("dpkg-query", "-s", "sandmeter"); err == nil {
		t.Errorf("after the purge dpkg has\n%s", out)
	}
}

// wantVerified fails the test unless systemd accepts the installed units, and their manual page is there.
func (m *machine) wantVerified() {
	m.t.Helper()
	out, err := m.try("systemd-analyze", "verify", "--man=no", "sandmeter.service", "sandmeter.socket")
	if err != nil || out != "" {
		m.t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	const page = "man:sandmeter-serve(1)"
	if !strings.Contains(m.read("/usr/lib/systemd/system/sandmeter.service"), page) || !m.has("/usr/share/man/man1/sandmeter-serve.1.gz") {
		m.t.Errorf("the unit does not name %s, or there is no such page", page)
	}
}

// TestDebWithoutSystemd: where systemd does not run, the package is installed, enabled and purged all the
// same.
func TestDebWithoutSystemd(t *testing.T) {
	needs(t, "dpkg", "deb-systemd-helper")
	m := newMachine(t)
	m.run("rm", "-r", "/run/systemd")
	m.dpkg("-i", m.copy(first(t).path(t, ".deb"), "/run/1.deb"))
	if !m.has(enabled) {
		t.Error("the service is not enabled")
	}
	m.dpkg("-P", "sandmeter")
	m.wantTold("preset sandmeter.service")
	if left := m.changed("sandmeter"); len(left) > 0 {
		t.Errorf("after the purge there are %q", left)
	}
}

func TestLintian(t *testing.T) {
	needs(t, "lintian")
	out, err := exec.CommandContext(t.Context(), "lintian", "--no-cfg", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", first(t).path(t, ".deb")).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// TestDebContents lists all files, with their modes and owners.
func TestDebContents(t *testing.T) {
	needs(t, "dpkg-deb")
	b := first(t)
	if got := filepath.Base(b.path(t, ".deb")); !strings.HasPrefix(got, "sandmeter_1.2.3-1_") {
		t.Errorf("the name is %s", got)
	}
	var files []string
	for line := range strings.Lines(outputOf(t, "dpkg-deb", "--contents", b.path(t, ".deb"))) {
		words := strings.Fields(line)
		if path := strings.TrimPrefix(words[5], "."); words[0][0] != 'd' && !strings.HasPrefix(path, "/usr/share/man/man1/sandmeter-") {
			files = append(files, words[0]+" "+words[1]+" "+path)
		}
		if words[3] != epoch.Format("2006-01-02") {
			t.Errorf("a time is not that of the release: %s", line)
		}
	}
	wantLines(t, "the files", strings.Join(files, "\n"), `
-rw-r--r-- root/root /etc/default/sandmeter
-rwxr-xr-x root/root /usr/bin/sandmeter
-rw-r--r-- root/root /usr/lib/systemd/system/sandmeter.service
-rw-r--r-- root/root /usr/lib/systemd/system/sandmeter.socket
-rw-r--r-- root/root /usr/share/bash-completion/completions/sandmeter
-rw-r--r-- root/root /usr/share/doc/sandmeter/README.md.gz
-rw-r--r-- root/root /usr/share/doc/sandmeter/changelog.Debian.gz
-rw-r--r-- root/root /usr/share/doc/sandmeter/changelog.gz
-rw-r--r-- root/root /usr/share/doc/sandmeter/copyright
-rw-r--r-- root/root /usr/share/doc/sandmeter/examples/client.yml
-rw-r--r-- root/root /usr/share/doc/sandmeter/examples/logrotate
-rw-r--r-- root/root /usr/share/doc/sandmeter/examples/prometheus.yml
-rw-r--r-- root/root /usr/share/doc/sandmeter/examples/socket-group.conf
-rw-r--r-- root/root /usr/share/doc/sandmeter/examples/web.yml
-rw-r--r-- root/root /usr/share/doc/sandmeter/third-party-licenses.txt.gz
-rw-r--r-- root/root /usr/share/fish/vendor_completions.d/sandmeter.fish
-rw-r--r-- root/root /usr/share/lintian/overrides/sandmeter
-rw-r--r-- root/root /usr/share/man/man1/sandmeter.1.gz
-rw-r--r-- root/root /usr/share/zsh/vendor-completions/_sandmeter`)
	wantLines(t, "the conffiles", outputOf(t, "dpkg-deb", "--info", b.path(t, ".deb"), "conffiles"), settings)
}
