package control

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// linger is how long closing the sent file descriptors takes, unless a test ends it earlier.
const linger = ample

// TestDescriptorsThatTakeLongToClose hold up neither the loop nor other sandboxes, whether the
// kernel refuses them or not.
func TestDescriptorsThatTakeLongToClose(t *testing.T) {
	cases := map[string]func(p *peers, x *simulate.Exchange) error{
		"with the reply": func(p *peers, x *simulate.Exchange) error {
			return p.sendLingering(x, x.Reply())
		},
		"behind the reply": func(p *peers, x *simulate.Exchange) error {
			if err := x.Send(x.Reply()); err != nil {
				return err
			}
			return p.sendLingering(x, []byte(" "))
		},
		"instead of a reply": func(p *peers, x *simulate.Exchange) error {
			return errors.Join(p.sendLingering(x, []byte(" ")), x.Stall())
		},
	}
	for _, refuses := range []bool{false, true} {
		for name, behavior := range cases {
			t.Run(name+map[bool]string{true: ", refused by the kernel", false: ", let through"}[refuses], func(t *testing.T) {
				if refuses && !refusing() {
					t.Skip("the kernel lets them through: it is older than 6.16")
				}
				testLingering(t, refuses, behavior)
			})
		}
	}
}

func testLingering(t *testing.T, refuses bool, behavior func(p *peers, x *simulate.Exchange) error) {
	w, p := newWorld(t), new(peers)
	w.loop.refuses = refuses
	hostile := newProbe(w.start(simulate.Spec{ID: "hostile", Behavior: func(x *simulate.Exchange) error {
		return behavior(p, x)
	}}).SocketPath())
	hostile.timeout = 100 * time.Millisecond
	good := newProbe(w.start(simulate.Spec{ID: "good"}).SocketPath())
	for range maxClosing + 1 {
		began := time.Now()
		if w.run(hostile, good); !good.honest() {
			t.Errorf("the other one: %q, %v", good.reply, good.failure)
		}
		if took := time.Since(began); took > linger/2 {
			t.Errorf("the run took %v", took)
		}
	}
	if n := hostile.address.closing.Load(); n > maxClosing {
		t.Errorf("%d connections are being closed at once", n)
	}
	p.close()
	testkit.Until(t, "all connections are closed", func() bool { return hostile.address.closing.Load() == 0 })
}

// TestClosingAddress: while too many connections are being closed, queries to the sandbox fail.
func TestClosingAddress(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a"})
	q := newProbe(s.SocketPath())
	q.address.closing.Store(maxClosing)
	if w.ask(q); q.failure != stillClosing || q.took != 0 || s.Stats().Connections != 0 {
		t.Errorf("%q, %v after %v", q.reply, q.failure, q.took)
	}
	if _, err := q.address.Listener(Dir{}); !errors.Is(err, stillClosing) || s.Stats().Connections != 0 {
		t.Errorf("a look for the listener: %v", err)
	}
	q.address.closing.Add(-1)
	if w.ask(q); !q.honest() {
		t.Errorf("when one is closed: %q, %v", q.reply, q.failure)
	}
}

// TestDescriptorsAreRefused where the kernel lets them through.
func TestDescriptorsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.loop.refuses = false
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Descriptors(1)})
	q := newProbe(s.SocketPath())
	if w.ask(q); q.failure != descriptorsSent || q.failure.Reason != failure.ReplyRefused {
		t.Errorf("%q, %v", q.reply, q.failure)
	}
	s.SetBehavior(nil)
	if w.ask(q); !q.honest() {
		t.Errorf("when it sends none any more: %q, %v", q.reply, q.failure)
	}
}

// peers are the other ends of the TCP connections that sandboxes send along.
type peers struct {
	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func (p *peers) add(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return
	}
	p.conns = append(p.conns, c)
}

// close closes all peers, including later ones, so that all lingering closes end.
func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.conns {
		c.Close()
	}
}

// sendLingering sends data with a TCP socket on it that is open nowhere else, and that takes linger
// to close, or until the peers are closed.
func (p *peers) sendLingering(x *simulate.Exchange, data []byte) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	// The close waits for the data that the peer does not read.
	if err := c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20))
	}
	file, err := c.(*net.TCPConn).File() // another file descriptor of the same socket
	if err != nil {
		return err
	}
	fd := int(file.Fd())
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: int32(linger / time.Second)}); err != nil {
		return err
	}
	_, _, err = x.Conn.WriteMsgUnix(data, unix.UnixRights(fd), nil)
	if err != nil { // not sent, so this process has to close the socket
		err = errors.Join(ignore(err, unix.EPERM), unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}))
	}
	return errors.Join(err, file.Close())
}

// connect returns one end of a TCP connection; the other is one of the peers.
func (p *peers) connect() (net.Conn, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	peer, err := listener.Accept()
	if err != nil {
		c.Close()
		return nil, err
	}
	p.add(peer)
	return c, nil
}

func ignore(err, ignored error) error {
	if errors.Is(err, ignored) {
		return nil
	}
	return err
}
