package control

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// linger is how long it takes to close what the sandboxes of these tests send along.
const linger = 2 * time.Second

// TestDescriptorsThatTakeLongToClose hold neither the loop nor its other sandboxes, whatever the kernel does for us.
func TestDescriptorsThatTakeLongToClose(t *testing.T) {
	answer := func(x *sandboxtest.Exchange) []byte { return x.Reply() }
	cases := map[string]sandboxtest.Behavior{
		"with the answer": func(x *sandboxtest.Exchange) error {
			return sendLingering(x, answer(x))
		},
		"behind the answer": func(x *sandboxtest.Exchange) error {
			if err := x.Send(answer(x)); err != nil {
				return err
			}
			return sendLingering(x, []byte(" "))
		},
		"instead of an answer": func(x *sandboxtest.Exchange) error {
			return errors.Join(sendLingering(x, []byte(" ")), x.Stall())
		},
	}
	for _, refuses := range []bool{false, true} {
		for name, behavior := range cases {
			t.Run(name+map[bool]string{true: ", refused by the kernel", false: ", let through"}[refuses], func(t *testing.T) {
				if refuses && !refusing() {
					t.Skip("the kernel lets them through: it is older than 6.16")
				}
				w := newWorld(t)
				w.loop.refuses = refuses
				hostile := query(w.start(sandboxtest.Spec{ID: "hostile", Behavior: behavior}).SocketPath())
				hostile.Timeout = 100 * time.Millisecond
				good := query(w.start(sandboxtest.Spec{ID: "good"}).SocketPath())
				for range maxClosing + 1 {
					began := time.Now()
					if got := w.run(hostile, good)[1]; !honest(got.answer) {
						t.Errorf("the other one: %q, %v", got.answer, got.err)
					}
					if took := time.Since(began); took > linger/2 {
						t.Errorf("it took %v", took)
					}
				}
				if n := hostile.Address.closing.Load(); n > maxClosing {
					t.Errorf("%d connections are being closed at once", n)
				}
				for until := time.Now().Add(ample); hostile.Address.closing.Load() > 0 && time.Now().Before(until); {
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
	}
}

// TestDescriptorsAreRefused where the kernel lets them through.
func TestDescriptorsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.loop.refuses = false
	s := w.start(sandboxtest.Spec{ID: "a", Behavior: sandboxtest.Descriptors(1)})
	if got := w.ask(query(s.SocketPath())); got.err != ErrDescriptors {
		t.Errorf("%q, %v", got.answer, got.err)
	}
	s.SetBehavior(nil)
	if got := w.ask(query(s.SocketPath())); !honest(got.answer) {
		t.Errorf("when it sends none any more: %q, %v", got.answer, got.err)
	}
}

// sendLingering sends data with a TCP socket on it that nobody else has, and that takes linger to close.
func sendLingering(x *sandboxtest.Exchange, data []byte) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	peer, err := listener.Accept()
	if err != nil {
		return err
	}
	time.AfterFunc(2*linger, func() { peer.Close() })
	// What its peer does not read is what it waits for.
	if err := c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20))
	}
	file, err := c.(*net.TCPConn).File() // another descriptor of the same socket
	if err != nil {
		return err
	}
	fd := int(file.Fd())
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: int32(linger / time.Second)}); err != nil {
		return err
	}
	_, _, err = x.Conn.WriteMsgUnix(data, unix.UnixRights(fd), nil)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
	}
	return errors.Join(err, file.Close())
}
