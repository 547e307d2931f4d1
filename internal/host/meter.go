package host

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A Meter measures sandboxes from the host: their cgroups, their network interfaces and their
// sentries. It and its Accounts are safe for concurrent use, and measure one sandbox at a time.
type Meter struct {
	root     string // of the file system, "" for /; its proc and cgroups are read
	mounts   []mount
	networks []string // the network namespaces of the host, as far as they can be known

	// mu guards what follows, and all Accounts of the Meter. While it is held, Subject.Alive is
	// called, which takes the lock of the Watcher, so the Watcher calls no Account with its lock held.
	mu        sync.Mutex
	buffer    []byte                // of the file that is read now
	pods      map[string]*podCgroup // by directory
	mostPods  int                   // when there are so many, removed ones are forgotten
	ancestors map[string]*ancestor  // by directory

	// cpuClock returns the CPU time of a process. It is a function so that recorded trees can be
	// measured, whose processes do not exist.
	cpuClock func(pid int) (nanoseconds int64, err error)
	// mayHold returns the number below which descriptors of files of cgroups are held.
	mayHold func() int
}

// bufferSize is the largest size of a file that a Meter reads: a list of 8,000 processes, or 400
// network interfaces.
const bufferSize = 64 << 10

// maxMountinfo limits what is read of the list of mounts. A node has some thousand.
const maxMountinfo = 16 << 20

// NewMeter returns a Meter that reads /proc and the cgroups below the directory root; "" means /.
// The mounts of cgroups are listed once, here.
func NewMeter(root string) (*Meter, error) {
	m := &Meter{root: root, buffer: make([]byte, bufferSize), pods: make(map[string]*podCgroup), mostPods: leastPodCgroups,
		ancestors: make(map[string]*ancestor),
		cpuClock:  cpuClock, mayHold: mayHoldCgroups}
	file, err := os.Open(m.proc("self", "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("list the mounts of cgroups: %w", err)
	}
	defer file.Close()
	mountinfo, err := io.ReadAll(io.LimitReader(file, maxMountinfo))
	if err != nil {
		return nil, fmt.Errorf("list the mounts of cgroups: %w", err)
	}
	m.mounts = parseMounts(mountinfo)
	m.findOwn()
	// Process 1 has the host's namespace, unless this server is in a PID namespace of its own. Not
	// every user may know it; then the state file has to tell (Subject.HostNetwork).
	for _, process := range []string{"self", "1"} {
		if network, err := os.Readlink(m.proc(process, "ns", "net")); err == nil {
			m.networks = append(m.networks, network)
		}
	}
	return m, nil
}

// Sources returns the directories at which cgroup hierarchies are mounted.
func (m *Meter) Sources() []string {
	sources := make([]string, len(m.mounts))
	for i := range m.mounts {
		sources[i] = m.mounts[i].dir
	}
	return sources
}

// WaitingForCPU returns for how long any task of the node has waited for a CPU, since the node
// started. ok is false where the kernel does not tell (CONFIG_PSI).
func (m *Meter) WaitingForCPU() (total time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := m.read(m.proc("pressure", "cpu"))
	if err == nil {
		err = parseFields(data, []field{{"some", fact.PressureCPUSome, micro}}, func(_ fact.Quantity, ns int64) { total, ok = time.Duration(ns), true })
	}
	return total, ok && err == nil
}

// proc returns a path below /proc.
func (m *Meter) proc(elements ...string) string {
	return m.root + "/proc/" + filepath.Join(elements...)
}

// read returns the content of a file. It is valid until the next call. The caller holds mu.
func (m *Meter) read(path string) ([]byte, error) { return readFile(path, m.buffer) }

// readFile reads a small file into the buffer. It allocates nothing, and takes a third of the system calls
// of os.ReadFile. If the file has more bytes, the buffer has the first, and the error is unix.EFBIG.
func readFile(path string, buffer []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; n < len(buffer); {
		more, err := unix.Read(fd, buffer[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case more == 0:
			return buffer[:n], nil
		}
		n += max(more, 0)
	}
	return buffer, unix.EFBIG
}
