package vm

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A machine is a virtual machine of a Debian release. It can only reach itself, and of this machine only
// the test reaches it, with ssh.
type machine struct {
	t       *testing.T // of the part that runs
	suite   string
	dir     string // its serial log, and the socket of ssh
	image   string // directory of its disk, kernel, initrd, and key
	port    int
	address string        // of the server, in the machine
	stays   string        // ID of a container that runs all the time
	ended   chan struct{} // closed when QEMU has ended

	incomplete int // records without the last figures, of containers that no scrape has seen
}

// limit is for everything that has to happen in a machine at some time, however slow it is.
const limit = 10 * time.Minute

// faster has parameters of the kernel that an emulated processor gains from: it reads the clock without a
// system call, calls functions without what protects from speculation, draws no progress, and has time
// for its devices.
const faster = "tsc=reliable mitigations=off systemd.show_status=error udev.event_timeout=3600"

// boot starts a machine with programs on its second disk. Its writes are gone when the test ends.
func boot(t *testing.T, suite, image, programs string) *machine {
	t.Helper()
	m := &machine{t: t, suite: suite, dir: t.TempDir(), image: image, port: freePort(t), ended: make(chan struct{})}
	qemu := exec.Command("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off",
		"-smp", "2", "-m", "3072", "-nodefaults", "-no-user-config", "-display", "none",
		"-kernel", filepath.Join(image, "kernel"), "-initrd", filepath.Join(image, "initrd"),
		"-append", "console=ttyS0 root=/dev/vda rw net.ifnames=0 loglevel=4 "+faster,
		"-drive", "if=virtio,format=raw,snapshot=on,cache=unsafe,file="+filepath.Join(image, "disk"),
		"-drive", "if=virtio,format=raw,read-only=on,file="+programs,
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22", m.port), "-device", "virtio-net-pci,netdev=net",
		"-device", "virtio-rng-pci", "-serial", "file:"+m.serial())
	var stderr bytes.Buffer
	qemu.Stderr = &stderr
	// It ends with the thread that started it, also if the test is killed. This thread stays.
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	m.must(qemu.Start())
	go func() {
		defer close(m.ended)
		_ = qemu.Wait()
	}()
	t.Cleanup(func() {
		m.t = t
		m.explain()
		_ = qemu.Process.Kill()
		<-m.ended
		if text := stderr.String(); text != "" {
			t.Log(text)
		}
	})
	m.booted()
	return m
}

// freePort returns a port on which nothing listens now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (m *machine) serial() string { return filepath.Join(m.dir, "serial") }

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// booted waits until all services of the machine have started.
func (m *machine) booted() {
	m.t.Helper()
	m.until("ssh", "true")
	if state, err := m.try("systemctl is-system-running --wait"); err != nil {
		m.t.Errorf("the machine is %s: %s", state, m.sh("systemctl --failed --no-legend"))
	}
}

// explain logs the machine's journal after a failure.
func (m *machine) explain() {
	if !m.t.Failed() {
		return
	}
	console, err := os.ReadFile(m.serial())
	m.t.Logf("the serial console: %v\n%s", err, console)
	journal, err := m.try("journalctl --no-pager --lines=3000; df -h /; free -m; ps -e --forest -o pid,stat,etime,args")
	m.t.Logf("the journal: %v\n%s", err, journal)
}

// try runs a shell script as root in the machine, and returns its output and whether it failed.
func (m *machine) try(script string) (string, error) {
	ssh := exec.CommandContext(m.t.Context(), "ssh", "-i", filepath.Join(m.image, "key"), "-p", fmt.Sprint(m.port), "-F", "none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20",
		"-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "ControlPath="+filepath.Join(m.dir, "ssh"),
		"-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=20", "root@127.0.0.1", script)
	if m.t.Context().Err() != nil { // during cleanup
		ssh = exec.Command(ssh.Path, ssh.Args[1:]...)
	}
	var stdout, stderr bytes.Buffer
	ssh.Stdout, ssh.Stderr = &stdout, &stderr
	if err := ssh.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", script, err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// sh is try for a script that has to succeed.
func (m *machine) sh(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	m.must(err)
	return out
}

// until runs a script until it succeeds, and returns its output.
func (m *machine) until(what, script string) string {
	m.t.Helper()
	var out string
	m.retry(what, func() (err error) {
		out, err = m.try(script)
		return err
	})
	return out
}

// retry calls a function until it succeeds.
func (m *machine) retry(what string, attempt func() error) {
	m.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Second) {
		err := attempt()
		if err == nil {
			return
		}
		select {
		case <-m.ended:
			m.t.Fatal(errors.Join(errors.New("the machine has ended"), err))
		default:
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: after %s, still %v", what, limit, err)
		}
	}
}

// write writes a file in the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	m.sh("cat >" + path + " <<'END'\n" + strings.TrimSuffix(text, "\n") + "\nEND")
}

// reboot restarts the machine.
func (m *machine) reboot() {
	m.t.Helper()
	before := m.sh("cat /proc/sys/kernel/random/boot_id")
	_, _ = m.try("systemctl reboot") // ends the connection
	m.retry("reboot", func() error {
		if after, err := m.try("cat /proc/sys/kernel/random/boot_id"); err != nil || after == before {
			return fmt.Errorf("boot %s: %w", after, err)
		}
		return nil
	})
	m.booted()
}
