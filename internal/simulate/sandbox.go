package simulate

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Sandbox is a simulated sandbox: its state files and the listener on its control socket. Its
// methods are safe for concurrent use.
type Sandbox struct {
	root, id, socket string
	schema           *schema
	begun            Spec       // as it was started with; immutable
	keys             *rand.Rand // guarded by mu; nil unless ShuffleKeys

	files sync.Mutex // held while state files are written
	spec  Spec       // guarded by files; without defaults

	behavior atomic.Pointer[Behavior]
	exports  atomic.Int64
	thaw     sync.Once
	thawed   chan struct{} // closed unless frozen

	child    *child // its process, or nil without OwnProcess
	endChild sync.Once
	childErr error             // error of child.end
	logErr   error             // error of writeFinalLog
	finalLog *os.File          // nil: none
	listener *net.UnixListener // nil if nothing listens
	stopOnce sync.Once
	stopped  chan struct{}  // closed by Stop
	running  sync.WaitGroup // all goroutines

	mu     sync.Mutex
	series []*series
	stats  Stats
	use    Use
	conns  map[*net.UnixConn]struct{} // nil once stopped
}

// Start starts a sandbox under the runtime root, which must exist: it listens, then writes the
// state files. The caller ends it with Stop or Remove.
func Start(root string, spec Spec) (*Sandbox, error) {
	schema := realSchema()
	if spec.Registration != nil {
		schema = compile(spec.Registration)
	}
	return start(root, spec, schema)
}

// start starts a sandbox with the registration of the schema.
func start(root string, spec Spec, schema *schema) (*Sandbox, error) {
	if spec.StartTime.IsZero() {
		spec.StartTime = time.Now().UTC()
	}
	if spec.Now == nil {
		spec.Now = time.Now
	}
	s := &Sandbox{
		root: root, id: spec.ID, begun: spec, spec: spec, schema: schema,
		socket: spec.withDefaults(root).ControlSocket,
		use:    spec.idleUse(),
		thawed: make(chan struct{}), stopped: make(chan struct{}), conns: map[*net.UnixConn]struct{}{},
	}
	if spec.ShuffleKeys {
		s.keys = rand.New(rand.NewPCG(spec.Order, 1))
	}
	s.SetBehavior(spec.Behavior)
	if !spec.Frozen {
		s.Thaw()
	}
	if err := s.setInitial(spec.Points); err != nil {
		return nil, err
	}
	if err := s.makeFinalLog(); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		s.Stop()
		return nil, err
	}
	if err := s.writeStates(); err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// setInitial sets the initial values, and makes the series of all gauges, which are sent at zero
// too.
func (s *Sandbox) setInitial(points []Point) error {
	if points == nil && s.spec.Registration == nil {
		points = Idle()
	}
	for _, m := range s.schema.metrics {
		if m.kind == 1 {
			for _, labels := range labelSets(m.Fields) {
				s.find(m, encodeLabels(labels))
			}
		}
	}
	return s.Set(points...)
}

// ID returns the sandbox's ID.
func (s *Sandbox) ID() string { return s.id }

// PID returns the process ID in the state file.
func (s *Sandbox) PID() int {
	s.files.Lock()
	defer s.files.Unlock()
	return s.spec.withDefaults(s.root).PID
}

// SocketPath returns the path of the control socket.
func (s *Sandbox) SocketPath() string { return s.socket }

// Set sets the values of series. If the registration does not allow one of them, it returns an
// error and sets none. Counters may decrease.
func (s *Sandbox) Set(points ...Point) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]*series, len(points))
	for i, p := range points {
		m, labels, err := s.schema.lookup(p)
		if err != nil {
			return err
		}
		found[i] = s.find(m, labels)
	}
	for i, p := range points {
		found[i].set(p)
	}
	return nil
}

// Add adds to the integer value of a series.
func (s *Sandbox) Add(metric string, labels map[string]string, delta int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, encoded, err := s.schema.lookup(Point{Metric: metric, Labels: labels, Int: delta})
	if err != nil {
		return err
	}
	s.find(m, encoded).number += delta
	return nil
}

// find returns the series of a metric with the labels, which are JSON. It adds the series if it is
// new. The caller holds s.mu, unless the sandbox is still being started.
func (s *Sandbox) find(m *metric, labels string) *series {
	for _, p := range s.series {
		if p.metric == m && p.labels == labels {
			return p
		}
	}
	p := m.plain
	if labels != "" || s.keys != nil {
		p = buildSeries(m, labels, s.keys)
	}
	s.series = append(s.series, &p)
	return &p
}

// Stats are counts of connections and requests.
type Stats struct {
	Connections int // accepted so far
	Queries     int // requests read so far
}

// Stats returns the counts of the sandbox since its start.
func (s *Sandbox) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// SetBehavior sets the behavior from the next request on; nil means Honest.
func (s *Sandbox) SetBehavior(b Behavior) {
	if b == nil {
		b = Honest
	}
	s.behavior.Store(&b)
}

// Thaw ends Spec.Frozen, as SIGCONT does.
func (s *Sandbox) Thaw() { s.thaw.Do(func() { close(s.thawed) }) }

// Stop ends the sandbox like a crash: it no longer replies, and all files stay. Stop returns when
// all goroutines of the sandbox have ended. It may be called more than once.
func (s *Sandbox) Stop() {
	s.stopOnce.Do(s.end)
	s.endChild.Do(func() {
		if s.child != nil {
			s.childErr = s.child.end()
		}
	})
	s.running.Wait()
}

// Exit ends the sandbox like the end of its workload: its process, which it must have with
// OwnProcess, exits with a status. Exit returns when the process is a zombie. Stop reaps it. The
// sandbox must not have been stopped.
func (s *Sandbox) Exit(status int) error {
	s.stopOnce.Do(s.end)
	return s.child.exit(status)
}

// end closes all connections, which makes the goroutines end, and writes the final metrics log.
func (s *Sandbox) end() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	close(s.stopped)
	if s.listener != nil {
		s.listener.Close()
	}
	for c := range conns {
		c.Close()
	}
	s.logErr = s.writeFinalLog()
}

// Remove ends the sandbox like `runsc delete`: it stops the sandbox and removes its socket and
// files.
func (s *Sandbox) Remove() error {
	s.Stop()
	s.files.Lock()
	defer s.files.Unlock()
	errs := []error{s.childErr, s.logErr}
	if !s.spec.NoSocket {
		if err := os.Remove(s.socket); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for id := range s.spec.containerIDs() {
		errs = append(errs, s.removeState(id))
	}
	return errors.Join(errs...)
}

// Go runs f in a goroutine that Stop waits for. f must return once stopped is closed.
func (s *Sandbox) Go(f func(stopped <-chan struct{})) {
	s.running.Go(func() { f(s.stopped) })
}

// begin starts the process and makes the socket. It replaces a socket that an earlier life left
// behind.
func (s *Sandbox) begin() error {
	if s.spec.NoSocket {
		return s.beginProcess(noSocket)
	}
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fd, err := bindUnix(s.socket)
	if err != nil {
		return err
	}
	if err := s.beginProcess(fd); err != nil {
		return errors.Join(err, unix.Close(fd), os.Remove(s.socket))
	}
	return s.listen(fd)
}

// beginProcess starts the sandbox's process, if OwnProcess is set, and listens on the socket, if
// there is one. The kernel tells clients which process called listen: it must be the one that the
// state file names.
func (s *Sandbox) beginProcess(fd int) error {
	if s.spec.OwnProcess {
		p, err := startChild(s.spec.Cgroups, s.spec.OwnNetwork, fd)
		if err != nil {
			return err
		}
		s.child, s.spec.PID = p, p.pid()
		return nil
	}
	if fd == noSocket {
		return nil
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

// listen takes over a listening socket and replies on it.
func (s *Sandbox) listen(fd int) error {
	f := os.NewFile(uintptr(fd), s.socket)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	s.listener = l.(*net.UnixListener)
	s.running.Go(s.accept)
	return nil
}

// accept serves each connection in a separate goroutine, until Stop. A frozen sandbox accepts none.
func (s *Sandbox) accept() {
	select {
	case <-s.thawed:
	case <-s.stopped:
	}
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, perhaps
			time.Sleep(time.Millisecond)
		default:
			s.serve(c)
		}
	}
}

// serve serves a connection until it ends.
func (s *Sandbox) serve(c *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		c.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.stats.Connections++
	s.running.Go(func() {
		x := &Exchange{Sandbox: s, Conn: c}
		for x.next() == nil {
		}
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
}
