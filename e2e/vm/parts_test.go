package vm

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// stay starts a container that runs until the machine ends, and waits until the server has its metrics,
// for which it has to read the registration from runsc.
func (m *machine) stay() {
	m.t.Helper()
	m.stays = strings.TrimSpace(m.sh("docker run --detach --name stay --runtime runsc --network none guest:1 /guest app wait"))
	m.wantStays()
}

// wantStays waits until the page has the metrics of the container that runs.
func (m *machine) wantStays() {
	m.t.Helper()
	m.retry("metrics of the container", func() error {
		page, err := m.try("curl -fsS " + m.address + "/metrics")
		if err != nil {
			return err
		}
		if up := samples(page, "sandmeter_sandbox_up", m.stays); len(up) != 1 || up[0] != 1 {
			return fmt.Errorf("sandmeter_sandbox_up of the container is %v:\n%s", up, grep(page, m.stays))
		}
		return nil
	})
}

// samples returns the values of a family's samples that have a text in their labels.
func samples(page, family, labels string) (values []float64) {
	for line := range strings.Lines(page) {
		words := strings.Fields(line)
		if len(words) == 2 && strings.HasPrefix(line, family+"{") && strings.Contains(line, labels) {
			value, err := strconv.ParseFloat(words[1], 64)
			if err != nil {
				value = math.NaN()
			}
			values = append(values, value)
		}
	}
	return values
}

func grep(page, text string) string {
	var found strings.Builder
	for line := range strings.Lines(page) {
		if strings.Contains(line, text) {
			found.WriteString(line)
		}
	}
	return found.String()
}

// page: the package has started the unit, which serves the container that started later.
func (m *machine) page() {
	m.sh("systemctl is-active sandmeter && systemctl is-enabled sandmeter && systemd-analyze verify --man=no sandmeter.service sandmeter.socket")
	if status := m.sh("cat /proc/$(systemctl show --property MainPID --value sandmeter)/status"); !strings.Contains(status, "CapEff:\t0000000000000000") {
		m.t.Errorf("the server has capabilities:\n%s", status)
	}
	m.retry("all figures", func() error { // runsc may have been in the cgroup at first
		page, err := m.try("curl -fsS " + m.address + "/metrics")
		if problems := grep(page, "sandmeter_sandbox_usage_absent{"); err == nil && problems != "" {
			err = errors.New(problems)
		}
		return err
	})
}

// A reading is a family and the file of a cgroup that has its value.
type reading struct {
	family, labels, file, key string
	unit                      float64
	since                     string // the first release of Debian that has the file
}

var readings = []reading{
	{family: "sandmeter_sandbox_cpu_seconds_total", file: "cpu.stat", key: "usage_usec ", unit: 1e6},
	{family: "sandmeter_sandbox_cpu_mode_seconds_total", labels: `mode="user"`, file: "cpu.stat", key: "user_usec ", unit: 1e6},
	{family: "sandmeter_sandbox_cpu_mode_seconds_total", labels: `mode="system"`, file: "cpu.stat", key: "system_usec ", unit: 1e6},
	{family: "sandmeter_sandbox_memory_bytes", file: "memory.current", unit: 1},
	{family: "sandmeter_sandbox_memory_peak_bytes", file: "memory.peak", unit: 1, since: "bookworm"},
	{family: "sandmeter_sandbox_oom_kills_total", file: "memory.events", key: "oom_kill ", unit: 1},
	{family: "sandmeter_sandbox_threads", file: "pids.current", unit: 1},
}

// usage: the figures of the page are between two readings of the cgroup's files around the scrape. Memory
// and threads can be higher in between, so the test waits for a scrape in which they do not change.
func (m *machine) usage() {
	dir := "/sys/fs/cgroup/system.slice/docker-" + m.stays + ".scope/"
	expected := slices.DeleteFunc(slices.Clone(readings), func(r reading) bool { return m.suite == "bullseye" && r.since != "" })
	read := "head -n 100"
	for _, r := range expected {
		read += " " + dir + r.file
	}
	read += "; "
	for _, r := range expected {
		m.retry(r.family, func() error {
			out, err := m.try(read + "echo ==PAGE; curl -fsS " + m.address + "/metrics; echo ==PAGE; " + read)
			parts := strings.Split(out, "==PAGE\n")
			if err != nil || len(parts) != 3 {
				return fmt.Errorf("%d parts: %w", len(parts), err)
			}
			before, after := r.value(parts[0], dir), r.value(parts[2], dir)
			got := samples(grep(parts[1], r.labels), r.family, m.stays)
			if len(got) != 1 || got[0] < before-1e-9 || got[0] > after+1e-9 {
				return fmt.Errorf("the page has %v, the cgroup %v before and %v after the scrape", got, before, after)
			}
			return nil
		})
	}
}

// value returns the value of a file in the output of head, which has a heading for each file.
func (r reading) value(out, dir string) float64 {
	_, text, _ := strings.Cut(out, "==> "+dir+r.file+" <==\n")
	found := regexp.MustCompile(`(?m)^` + r.key + `([0-9]+)$`).FindStringSubmatch(text)
	if found == nil {
		return math.NaN()
	}
	value, _ := strconv.ParseFloat(found[1], 64) // digits only
	return value / r.unit
}

// doctor finds no problem, as root and as a user who may do nothing.
func (m *machine) doctor() {
	if out, err := m.try("sandmeter doctor"); err != nil || !strings.Contains(out, m.stays[:12]) {
		m.t.Errorf("sandmeter doctor: %v\n%s", err, out)
	}
	if out, err := m.try("setpriv --reuid 65534 --regid 65534 --clear-groups sandmeter doctor"); err != nil {
		m.t.Errorf("sandmeter doctor as nobody: %v\n%s", err, out)
	}
}

// restart: a server that was restarted, also after a crash, serves the sandboxes that run.
func (m *machine) restart() {
	m.sh("systemctl restart sandmeter")
	m.wantStays()
	before := m.sh("systemctl show --property NRestarts --value sandmeter; kill -9 $(systemctl show --property MainPID --value sandmeter)")
	m.until("systemd restarts the server", "test $(systemctl show --property NRestarts --value sandmeter) -gt "+strings.TrimSpace(before))
	m.wantStays()
}

// upgrade: a package keeps the settings and serves with them.
func (m *machine) upgrade() {
	const settings = "/etc/default/sandmeter"
	m.sh("cp " + settings + " /root/settings; echo SANDMETER_WEB_LISTEN_ADDRESS=127.0.0.1:19700 >>" + settings)
	m.sh("dpkg -i --force-confdef --force-confold /sandmeter/next/sandmeter_*.deb")
	m.address = "127.0.0.1:19700"
	m.wantStays()
	page := m.sh("curl -fsS " + m.address + "/metrics")
	if version := grep(page, "sandmeter_build_info{"); !strings.Contains(version, `version="`+next+`"`) {
		m.t.Errorf("the version is %s", version)
	}
	m.sh("systemctl disable --now --quiet sandmeter; dpkg -i --force-confold /sandmeter/sandmeter_*.deb")
	if state, err := m.try("systemctl is-enabled sandmeter; systemctl is-active sandmeter"); err == nil {
		m.t.Errorf("the package has enabled or started the service again: %s", state)
	}
	m.address = "localhost:19640"
	m.sh("cp /root/settings " + settings + "; systemctl enable --now --quiet sandmeter")
	m.wantStays()
}

// sockets: systemd listens, the first client starts the server, and none fails during a restart.
func (m *machine) sockets() {
	const settings = "/etc/default/sandmeter"
	m.sh("echo SANDMETER_WEB_SYSTEMD_SOCKET=true >>" + settings + "; systemctl stop sandmeter; systemctl enable --now --quiet sandmeter.socket")
	m.wantStays()
	out, err := m.try("curl -fsS -o /dev/null " + m.address + "/metrics & a=$!; systemctl restart sandmeter & b=$!; curl -fsS -o /dev/null " + m.address + "/metrics && wait $a && wait $b")
	if err != nil {
		m.t.Errorf("a client failed during a restart: %v\n%s", err, out)
	}
	m.sh("systemctl disable --now --quiet sandmeter.socket; systemctl stop sandmeter; cp /root/settings " + settings + "; systemctl start sandmeter")
	m.wantStays()
}

// examples: with the settings of the documents, the server listens on a Unix socket for a group, and
// serves a runtime root that the unit hides otherwise.
func (m *machine) examples() {
	const example, settings = "/usr/share/doc/sandmeter/examples/socket-group.conf", "/etc/default/sandmeter"
	m.sh("cp " + example + " " + overrides + "; groupadd --force prometheus; sed -n 's/^# *\\(SANDMETER_\\)/\\1/p' " + example + " >>" + settings)
	m.sh("zcat /usr/share/doc/sandmeter/README.md.gz | sed -n '/^\\[Service]/,/^```/{/^```/!p}' >" + overrides + "/hidden.conf; mkdir -p /home/runsc; echo SANDMETER_ROOT=/home/runsc >>" + settings)
	m.sh("systemctl daemon-reload; systemctl restart sandmeter")
	if got := m.sh("stat --format='%U:%G %a' /run/sandmeter/metrics.sock"); got != "root:prometheus 660\n" {
		m.t.Errorf("the socket is %s", got)
	}
	page := m.sh("curl -fsS --unix-socket /run/sandmeter/metrics.sock http://sandmeter/metrics")
	if !strings.Contains(page, "\nsandmeter_runtime_root_readable 1\n") { // a single root has no label
		m.t.Errorf("the hidden root is not served:\n%s", grep(page, "sandmeter_runtime_root"))
	}
	m.sh("rm " + overrides + "/socket-group.conf " + overrides + "/hidden.conf; cp /root/settings " + settings + "; systemctl daemon-reload; systemctl restart sandmeter")
	m.wantStays()
}

// endsCgroupfs: the same ends with Docker's other driver.
func (m *machine) endsCgroupfs() {
	m.sh("ln -sf /sandmeter/cgroupfs.json /etc/docker/daemon.json; systemctl restart docker")
	m.wantComplete(m.ends("docker", 1), 1)
	m.sh("ln -sf /sandmeter/daemon.json /etc/docker/daemon.json; systemctl restart docker; docker rm --force stay")
	m.stay()
}

// endsContainerd: the same ends with containerd and the shim.
func (m *machine) endsContainerd() {
	m.sh("ln -s /sandmeter/bin/containerd-shim-runsc-v1 /sandmeter/bin/runsc /usr/local/bin; docker save guest:1 | ctr images import -")
	m.wantComplete(m.ends("containerd", 1), 1)
}

// restartOfMachine: a sandbox that runs at a shutdown has a record, and the server is there again.
func (m *machine) restartOfMachine() {
	m.reboot()
	m.records([]end{{Kind: "reboot", ID: m.stays}})
	m.until("the server", "curl -fsS -o /dev/null "+m.address+"/metrics")
}

// purge leaves nothing.
func (m *machine) purge() {
	m.sh("dpkg -r sandmeter; test -e /etc/default/sandmeter")
	m.sh("rm -r " + overrides + " /root/settings /home/runsc; dpkg -P sandmeter")
	left := m.sh("find / -xdev -path /sandmeter -prune -o -name '*sandmeter*' -print; systemctl list-units --all --no-legend sandmeter.service sandmeter.socket")
	if left != "" {
		m.t.Errorf("after the purge there are\n%s", left)
	}
}
