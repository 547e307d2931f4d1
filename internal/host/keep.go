package host

import (
	"bytes"
	"sync"

	"golang.org/x/sys/unix"
)

// A keeper has the cgroups whose descriptors Keep may read. Its lock is taken last: the watcher calls
// Keep with its own lock held, which a Meter takes while it holds its lock. A descriptor is closed
// only after its cgroup was taken out.
type keeper struct {
	mu      sync.Mutex
	cgroups []*cgroup
}

func (k *keeper) set(cgroups []*cgroup) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cgroups = cgroups
}

// keptSize is more than a file of a cgroup has: cpu.stat has 400 bytes.
const keptSize = 2 << 10

// Keep keeps the present content of the files that the account holds open, for Finish, which has to
// wait for locks. systemd removes a cgroup as soon as it is empty, and then the files cannot be read.
// Keep is made to be called by the function of [Process.FirstAtEnd].
func (a *Account) Keep() {
	a.keeper.mu.Lock()
	defer a.keeper.mu.Unlock()
	var buffer [keptSize]byte
	for _, c := range a.keeper.cgroups {
		for i := range c.files {
			f := &c.files[i]
			if f.fd < 0 || !f.outlasts() {
				continue
			}
			if n, err := unix.Pread(f.fd, buffer[:], 0); err == nil {
				f.kept = bytes.Clone(buffer[:n])
			}
		}
	}
}

// readLast returns the content of the file now, or, if the cgroup is gone, what Keep kept of it.
func (a *Account) readLast(f *openFile) ([]byte, error) {
	data, err := f.read(a.meter.buffer)
	if !isGone(err) {
		return data, err
	}
	a.keeper.mu.Lock()
	defer a.keeper.mu.Unlock()
	if f.kept != nil {
		return f.kept, nil
	}
	return nil, err
}

// FirstAtEnd sets the function that is called as soon as the end of the process is noticed, before
// anything is asked about the process, on the goroutine that notices it. The lock of the Watcher is
// held during the call, so the function must be short and must not call this package, except for
// [Account.Keep]. It is called before the function of AtEnd, or not at all: only a process with a
// pidfd has an end that is noticed in time.
func (p *Process) FirstAtEnd(f func()) {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	p.firstAtEnd = f
}

// callFirst calls the functions of FirstAtEnd for all events before any of them is taken in. The
// caller holds mu.
func (w *Watcher) callFirst(events []unix.EpollEvent) {
	for _, event := range events {
		if p := w.byFD[event.Fd]; p != nil && p.firstAtEnd != nil && p.end.Load() == nil {
			p.firstAtEnd()
		}
	}
}
