package simulate

import (
	"errors"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// On handles requests for one method with b, and replies honestly to others.
func On(method string, b Behavior) Behavior {
	return func(x *Exchange) error {
		if x.Method == method {
			return b(x)
		}
		return Honest(x)
	}
}

// Edit replies to an Export with the result of f for the honest reply.
func Edit(f func(x *Exchange, reply string) string) Behavior {
	return On(MethodExport, func(x *Exchange) error {
		return x.Send([]byte(f(x, string(x.Reply()))))
	})
}

// Replace replies to an Export with the honest reply, in which it replaces the first old with new. It
// panics if there is none, since the reply would be honest.
func Replace(old, new string) Behavior {
	return Edit(func(_ *Exchange, reply string) string {
		before, after, ok := strings.Cut(reply, old)
		if !ok {
			panic("simulate: there is no " + old + " in " + reply)
		}
		return before + new + after
	})
}

// Say replies to an Export with a text.
func Say(text string) Behavior {
	return Edit(func(*Exchange, string) string { return text })
}

// EditEvent replies to an Event with the result of f for the honest reply.
func EditEvent(f func(reply string) string) Behavior {
	return On(MethodEvent, func(x *Exchange) error { return x.Send([]byte(f(string(x.Reply())))) })
}

// Stall never replies.
func Stall(x *Exchange) error {
	return x.Stall()
}

// Late replies honestly after a delay.
func Late(d time.Duration) Behavior {
	return func(x *Exchange) error {
		if err := x.Wait(d); err != nil {
			return err
		}
		return Honest(x)
	}
}

// Drip sends the honest reply in pieces of n bytes with a pause after each.
func Drip(n int, pause time.Duration) Behavior {
	return func(x *Exchange) error {
		for reply := x.Reply(); len(reply) > 0; {
			piece := reply[:min(n, len(reply))]
			if err := x.Send(piece); err != nil {
				return err
			}
			reply = reply[len(piece):]
			if err := x.Wait(pause); err != nil {
				return err
			}
		}
		return nil
	}
}

// Flood replies to an Export with head, in which it replaces NOW with the time, then with repeated
// fill until at least size bytes are sent (0: without end), then with tail.
func Flood(head, fill string, size int64, tail string) Behavior {
	return On(MethodExport, func(x *Exchange) error {
		now := time.Now().UTC().Format(time.RFC3339Nano)
		err := x.Send([]byte(strings.Replace(head, "NOW", now, 1)))
		chunk := []byte(strings.Repeat(fill, 1+(64<<10)/len(fill)))
		for sent := int64(0); err == nil && (size == 0 || sent < size); sent += int64(len(chunk)) {
			err = x.Send(chunk)
		}
		if err != nil {
			return err
		}
		return x.Send([]byte(tail))
	})
}

// HangUp closes the connection after a fraction of the honest reply, from 0 to 1.
func HangUp(share float64) Behavior {
	return func(x *Exchange) error {
		reply := x.Reply()
		if err := x.Send(reply[:int(share*float64(len(reply)))]); err != nil {
			return err
		}
		return io.EOF
	}
}

// Descriptors sends the honest reply byte by byte, with n file descriptors attached to each byte.
// If the kernel has too many in flight, it waits until the client has received some. If the
// client's socket blocks file descriptors, the reply is honest.
func Descriptors(n int) Behavior {
	return func(x *Exchange) error {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		fds := make([]int, n)
		for i := range fds {
			fds[i] = fd
		}
		// The kernel limits the file descriptors in flight per user. Beyond the limit, other
		// programs of root that pass file descriptors, such as runsc, fail. The smallest possible
		// buffer keeps the number low.
		if err := x.Conn.SetWriteBuffer(1); err != nil {
			return err
		}
		rights := unix.UnixRights(fds...)
		reply := x.Reply()
		for len(reply) > 0 {
			_, _, err := x.Conn.WriteMsgUnix(reply[:1], rights, nil)
			if errors.Is(err, unix.EPERM) {
				return x.Send(reply)
			}
			if errors.Is(err, unix.ETOOMANYREFS) {
				err = x.Wait(time.Millisecond)
			} else {
				reply = reply[1:]
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}
