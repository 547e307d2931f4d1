package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// rpm runs rpm on the machine. Debian's rpm refuses to install packages unless it is forced to.
func (m *machine) rpm(args ...string) string {
	m.t.Helper()
	return m.run("rpm", append([]string{"--force-debian", "--nodeps"}, args...)...)
}

// TestRPMLifeCycle installs, upgrades and removes the .rpm with the real rpm.
func TestRPMLifeCycle(t *testing.T) {
	needs(t, "rpm")
	m := newMachine(t)
	v1, v2 := m.copy(first(t).path(t, ".rpm"), "/run/1.rpm"), m.copy(next(t).path(t, ".rpm"), "/run/2.rpm")

	m.rpm("--install", v1)
	m.wantTold("preset sandmeter.service sandmeter.socket; daemon-reload")
	m.wantVerified()
	changed := m.read(settings) + "SANDMETER_WEB_LISTEN_ADDRESS=127.0.0.1:19700\n"
	m.write(settings, changed, 0o644)

	m.rpm("--upgrade", v2)
	m.wantTold("daemon-reload; daemon-reload; try-restart sandmeter.service")
	if got := m.read(settings); got != changed {
		t.Errorf("the settings are\n%s", got)
	}
	if !strings.Contains(m.read(settings+".rpmnew"), "# New in 1.3.0.") {
		t.Error("there are no settings of the new package")
	}
	m.rpm("--verify", "sandmeter", "--noconfig")

	m.rpm("--erase", "sandmeter")
	m.wantTold("disable sandmeter.service sandmeter.socket; stop sandmeter.socket sandmeter.service; daemon-reload")
	for _, path := range m.changed("sandmeter") {
		switch path {
		case settings + ".rpmsave", settings + ".rpmnew", "/var/log/sandmeter":
		default:
			t.Errorf("after the removal there is %s", path)
		}
	}
	if got := m.read(settings + ".rpmsave"); got != changed {
		t.Errorf("the saved settings are\n%s", got)
	}
}

func TestRPMContents(t *testing.T) {
	needs(t, "rpm")
	b := first(t)
	path := b.path(t, ".rpm")
	if got := filepath.Base(path); !strings.HasPrefix(got, "sandmeter-1.2.3-1.") {
		t.Errorf("the name is %s", got)
	}
	var files []string
	for line := range strings.Lines(outputOf(t, "rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\n]", path)) {
		if !strings.Contains(line, "/man1/sandmeter-") {
			files = append(files, strings.Join(strings.Fields(line), " "))
		}
	}
	wantLines(t, "the files", strings.Join(files, "\n"), `
-rw-r--r-- root:root cn /etc/default/sandmeter
-rwxr-xr-x root:root /usr/bin/sandmeter
-rw-r--r-- root:root /usr/lib/systemd/system/sandmeter.service
-rw-r--r-- root:root /usr/lib/systemd/system/sandmeter.socket
-rw-r--r-- root:root /usr/share/bash-completion/completions/sandmeter
drwxr-xr-x root:root /usr/share/doc/sandmeter
-rw-r--r-- root:root /usr/share/doc/sandmeter/README.md.gz
-rw-r--r-- root:root /usr/share/doc/sandmeter/changelog.gz
drwxr-xr-x root:root /usr/share/doc/sandmeter/examples
-rw-r--r-- root:root /usr/share/doc/sandmeter/examples/client.yml
-rw-r--r-- root:root /usr/share/doc/sandmeter/examples/logrotate
-rw-r--r-- root:root /usr/share/doc/sandmeter/examples/prometheus.yml
-rw-r--r-- root:root /usr/share/doc/sandmeter/examples/socket-group.conf
-rw-r--r-- root:root /usr/share/doc/sandmeter/examples/web.yml
-rw-r--r-- root:root /usr/share/doc/sandmeter/third-party-licenses.txt.gz
-rw-r--r-- root:root /usr/share/fish/vendor_completions.d/sandmeter.fish
drwxr-xr-x root:root /usr/share/licenses/sandmeter
-rw-r--r-- root:root l /usr/share/licenses/sandmeter/LICENSE
-rw-r--r-- root:root /usr/share/man/man1/sandmeter.1.gz
-rw-r--r-- root:root /usr/share/zsh/site-functions/_sandmeter`)
	header := outputOf(t, "rpm", "-qp", "--queryformat", "%{VERSION}-%{RELEASE} %{LICENSE} %{BUILDHOST} %{BUILDTIME}", path)
	wantLines(t, "the requirements", outputOf(t, "rpm", "-qp", "--requires", path), "/bin/sh")
	wantLines(t, "the header", header, "1.2.3-1 Apache-2.0 reproducible 1777863721")
}
