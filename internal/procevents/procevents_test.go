package procevents

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// openOrSkip returns a socket, or skips the test where the kernel sends no events to it.
func openOrSkip(t *testing.T) *Socket {
	t.Helper()
	s, err := Open()
	if err != nil {
		if os.Getenv("SANDMETER_REQUIRE_RUNSC") != "" {
			t.Fatal(err)
		}
		t.Skipf("needs the initial network namespace and, before Linux 6.6, CAP_NET_ADMIN: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestExits: the event of each process has its exit status, also if it was reaped long ago.
func TestExits(t *testing.T) {
	s := openOrSkip(t)
	for _, test := range []struct {
		script string
		status int
	}{
		{"exit 0", 0},
		{"exit 3", 3 << 8},
		{"kill -9 $$", int(unix.SIGKILL)},
		{"kill -15 $$", int(unix.SIGTERM)},
	} {
		process := exec.Command("sh", "-c", test.script)
		_ = process.Run()
		if got := await(t, s, process.Process.Pid); got != test.status {
			t.Errorf("%s: status %#x, want %#x", test.script, got, test.status)
		}
	}
}

// await returns the status in the event of a process.
func await(t *testing.T, s *Socket, pid int) (status int) {
	t.Helper()
	for found := false; !found; {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		s.Read(func(e Exit) {
			if e.PID == pid {
				status, found = e.Status, true
			}
			if e.At <= 0 {
				t.Errorf("the time of an event is %v", e.At)
			}
		})
	}
	return status
}

// message returns an event of the kernel.
func message(what, pid, tgid, status uint32) []byte {
	m := make([]byte, exitSize+8)
	order := binary.NativeEndian
	order.PutUint32(m[connectorAt:], connectorProcess)
	order.PutUint32(m[connectorAt+4:], connectorProcess)
	order.PutUint32(m[eventAt:], what)
	order.PutUint64(m[timeAt:], 12345)
	order.PutUint32(m[pidAt:], pid)
	order.PutUint32(m[tgidAt:], tgid)
	order.PutUint32(m[statusAt:], status)
	return m
}

// TestParse: only exits of thread group leaders count.
func TestParse(t *testing.T) {
	const fork, exec, comm = 1, 2, 0x200
	exit := message(eventExit, 7, 7, 0x300)
	if got, ok := parse(exit); !ok || got != (Exit{PID: 7, Status: 0x300, At: 12345}) {
		t.Errorf("an exit is %+v, %t", got, ok)
	}
	other := message(eventExit, 7, 7, 0)
	other[connectorAt]++
	for name, m := range map[string][]byte{
		"a thread": message(eventExit, 8, 7, 0), "a fork": message(fork, 7, 7, 0), "an exec": message(exec, 7, 7, 0),
		"a name": message(comm, 7, 7, 0), "another connector": other, "a short message": exit[:exitSize-1], "nothing": nil,
	} {
		if got, ok := parse(m); ok {
			t.Errorf("%s is the exit %+v", name, got)
		}
	}
}

// TestOthersCannotSend: the kernel refuses messages of processes without CAP_NET_ADMIN, which could pretend
// that a sandbox ended in another way.
func TestOthersCannotSend(t *testing.T) {
	s := openOrSkip(t)
	bound, err := unix.Getsockname(s.FD())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread has no capabilities, and ends with the goroutine
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			t.Error(err)
			return
		}
		forger, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(forger)
		if err := unix.Sendto(forger, message(eventExit, 7, 7, 9), 0, bound); err != unix.EPERM {
			t.Errorf("sending: %v", err)
		}
	}()
	<-done
}

// TestReadAllocatesNothing: many processes of a node may end.
func TestReadAllocatesNothing(t *testing.T) {
	s := openOrSkip(t)
	for range 20 {
		_ = exec.Command("true").Run()
	}
	var before, after runtime.MemStats
	events := uint64(0)
	runtime.ReadMemStats(&before)
	s.Read(func(Exit) { events++ })
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n >= events { // the runtime may have a few
		t.Errorf("%d allocations for %d events", n, events)
	}
}
