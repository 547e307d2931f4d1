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

// Sandbox is one simulated sandbox: its state files, and what listens on its control socket. Its methods
// may be called from any goroutine, while it replies.
type Sandbox struct {
	root, id, socket string
	schema           *schema
	order            uint64
	savings          Savings
	growth           int64
	shuffleKeys      bool
	keys             *rand.Rand // guarded by mu; nil unless shuffleKeys

	files sync.Mutex // held while state files are written
	spec  Spec       // guarded by files; without defaults

	behavior atomic.Pointer[Behavior]      // nil: honest
	gate     atomic.Pointer[chan struct{}] // closed when thawed; nil when not frozen
	counters counters
	exports  atomic.Int64
	fleet    *Fleet // that it belongs to, or nil

	child    *child            // its own process, or nil
	childErr error             // of the end of that
	listener *net.UnixListener // nil if the fleet's poller listens, or nothing does
	stopOnce sync.Once
	stopped  chan struct{}  // closed by Stop
	running  sync.WaitGroup // all goroutines

	mu     sync.Mutex
	series []*series
	conns  map[*net.UnixConn]struct{} // nil once stopped
}

// Start makes a sandbox under the runtime root, an existing directory: it listens, then writes the state
// files. The caller ends it with Stop or Remove.
func Start(root string, spec Spec) (*Sandbox, error) {
	schema := realSchema()
	if spec.Registration != nil {
		schema = compile(spec.Registration)
	}
	return start(root, spec, schema, nil)
}

// start makes a sandbox that registered what the schema has, of a fleet or of none.
func start(root string, spec Spec, schema *schema, fleet *Fleet) (*Sandbox, error) {
	if spec.StartTime.IsZero() {
		spec.StartTime = time.Now().UTC()
	}
	s := &Sandbox{
		root: root, id: spec.ID, spec: spec, schema: schema,
		socket: spec.withDefaults(root).ControlSocket,
		order:  spec.Order, savings: spec.SavedAtRestore, growth: spec.Growth, shuffleKeys: spec.ShuffleKeys,
		fleet:   fleet,
		stopped: make(chan struct{}), conns: map[*net.UnixConn]struct{}{},
	}
	if spec.ShuffleKeys {
		s.keys = rand.New(rand.NewPCG(spec.Order, 1))
	}
	s.SetBehavior(spec.Behavior)
	if spec.Frozen {
		s.Freeze()
	}
	if err := s.setInitial(spec.Points); err != nil {
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

// setInitial gives the sandbox its gauges, which are sent at zero too, and the values it starts with.
func (s *Sandbox) setInitial(points []Point) error {
	if points == nil && s.spec.Registration == nil {
		points = Idle()
	}
	for _, m := range s.schema.metrics {
		if m.kind == 1 {
			for _, labels := range combinations(m.Fields) {
				s.find(m, labels)
			}
		}
	}
	return s.Set(points...)
}

// ID returns the sandbox's ID.
func (s *Sandbox) ID() string { return s.id }

// PID returns the process that the state file names.
func (s *Sandbox) PID() int {
	s.files.Lock()
	defer s.files.Unlock()
	return s.spec.withDefaults(s.root).PID
}

// SocketPath returns the path on which the sandbox listens.
func (s *Sandbox) SocketPath() string { return s.socket }

// Set gives series their values, all or none: a series that the registration does not have is an error.
// A counter may be set back.
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

// find returns the series of a metric with the labels, which are JSON, and makes it if it is new. The
// caller holds s.mu, or is alone.
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

// SetBehavior decides what goes over the control socket from the next request on; nil is Honest.
func (s *Sandbox) SetBehavior(b Behavior) {
	if b == nil {
		s.behavior.Store(nil)
	} else {
		s.behavior.Store(&b)
	}
}

// plain says whether the sandbox is honest and not frozen.
func (s *Sandbox) plain() bool {
	return s.behavior.Load() == nil && s.gate.Load() == nil
}

// Freeze makes the sandbox do nothing, as SIGSTOP does, until Thaw: connections wait in the backlog of
// 16, and further ones get EAGAIN, or wait.
func (s *Sandbox) Freeze() {
	gate := make(chan struct{})
	if s.gate.CompareAndSwap(nil, &gate) && s.fleet != nil {
		s.fleet.poller.refresh(s)
	}
}

// Thaw ends Freeze.
func (s *Sandbox) Thaw() {
	if gate := s.gate.Swap(nil); gate != nil {
		close(*gate)
		if s.fleet != nil {
			s.fleet.poller.refresh(s)
		}
	}
}

// pass waits while the sandbox is frozen, and says whether it still runs.
func (s *Sandbox) pass() bool {
	gate := s.gate.Load()
	if gate == nil {
		return true
	}
	select {
	case <-*gate:
		return true
	case <-s.stopped:
		return false
	}
}

// Stop ends the sandbox as a crash does: nothing replies any more, and all files stay. It returns when
// all goroutines of the sandbox have ended; it may be called more than once.
func (s *Sandbox) Stop() {
	s.stopOnce.Do(s.end)
	s.running.Wait()
}

// end ends all that the sandbox has but its goroutines, which it makes end.
func (s *Sandbox) end() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	close(s.stopped)
	if s.listener != nil {
		s.listener.Close()
	}
	if s.fleet != nil {
		s.fleet.poller.drop(s)
	}
	for c := range conns {
		c.Close()
	}
	if s.child != nil {
		s.childErr = s.child.end()
	}
}

// Remove ends the sandbox as `runsc delete` does: it stops, and its socket and its files go.
func (s *Sandbox) Remove() error {
	s.Stop()
	s.files.Lock()
	defer s.files.Unlock()
	errs := []error{s.childErr}
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

// Go runs f beside the sandbox in a goroutine that Stop waits for. It has to return once stopped is closed.
func (s *Sandbox) Go(f func(stopped <-chan struct{})) {
	s.running.Go(func() { f(s.stopped) })
}

// begin gives the sandbox its process and its socket, over what a former life of it may have left there.
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
	return s.serve(fd)
}

// beginProcess starts the sandbox's own process, if it is to have one, and begins to listen on the socket, if there is one. The kernel
// tells clients which process began to listen: it has to be the one that the state file names.
func (s *Sandbox) beginProcess(fd int) error {
	if s.spec.OwnProcess {
		p, err := startChild(s.spec.Cgroup, fd)
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

// serve replies on a listening socket, which it takes over.
func (s *Sandbox) serve(fd int) error {
	if s.fleet != nil {
		return s.fleet.poller.listen(fd, s)
	}
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

// accept serves each connection in a goroutine of its own, until Stop.
func (s *Sandbox) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, perhaps
			time.Sleep(time.Millisecond)
		default:
			s.count((*counters).enter)
			s.pass()
			s.adopt(c, (*Exchange).next)
		}
	}
}

// adopt serves a connection, which is counted already, until it ends: first what is given, then one
// request after the other.
func (s *Sandbox) adopt(c *net.UnixConn, first func(*Exchange) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.leave(c)
		return
	}
	s.conns[c] = struct{}{}
	s.running.Go(func() {
		x := &Exchange{Sandbox: s, Conn: c}
		for err := first(x); err == nil; {
			err = x.next()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		s.leave(c)
	})
}

func (s *Sandbox) leave(c *net.UnixConn) {
	c.Close()
	s.count((*counters).leave)
}

// count counts something for the sandbox, and for its fleet.
func (s *Sandbox) count(what func(*counters)) {
	what(&s.counters)
	if s.fleet != nil {
		what(&s.fleet.counters)
	}
}
