package state

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxFileSize limits the size of a state file. Real state files have about 52 KB.
const maxFileSize = 16 << 20

// settleTime is how old the last change of a file must be before unchanged times prove unchanged
// content: kernels before 6.13 set file times in ticks of up to 10 ms.
const settleTime = 20 * time.Millisecond

var errChanging = errors.New("the file changed while it was read")

// A Stamp identifies a version of a file or a directory, given its device.
type Stamp struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
}

// StampOf returns the stamp of a status.
func StampOf(st *unix.Stat_t) Stamp {
	return Stamp{ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

// Settled reports whether any later change will give the file a different stamp. That is so if its
// times are old, and also if they are in the future, which happens when the clock was set back.
func (s Stamp) Settled(now time.Time) bool {
	return apart(now, s.mtime) && apart(now, s.ctime)
}

func apart(now time.Time, changed unix.Timespec) bool {
	return now.Sub(time.Unix(changed.Unix())).Abs() > settleTime
}

// readFile returns the bytes of a regular file in the directory dir, and its stamp, which was the
// same before and after reading. The bytes are valid until buf is used again.
func readFile(dir int, name string, buf []byte) ([]byte, Stamp, error) {
	// O_NONBLOCK in case it is a pipe. runsc writes no symbolic links, so do not follow them.
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return buf[:0], Stamp{}, err
	}
	defer unix.Close(fd)
	var before, after unix.Stat_t
	if err := unix.Fstat(fd, &before); err != nil {
		return buf[:0], Stamp{}, err
	}
	if before.Mode&unix.S_IFMT != unix.S_IFREG {
		return buf[:0], Stamp{}, errors.New("not a regular file")
	}
	if before.Size > maxFileSize {
		return buf[:0], StampOf(&before), fmt.Errorf("%d bytes exceed the limit of %d", before.Size, maxFileSize)
	}
	data, err := readAll(fd, buf[:0], int(before.Size))
	if err != nil {
		return data, Stamp{}, err
	}
	if err := unix.Fstat(fd, &after); err != nil {
		return data, Stamp{}, err
	}
	if StampOf(&before) != StampOf(&after) || int64(len(data)) != after.Size {
		return data, StampOf(&after), errChanging
	}
	return data, StampOf(&after), nil
}

// readAll reads size bytes of fd, or one more if the file has more, into buf. It does not read on
// until the end of the file: the caller compares the size, which saves a system call per file.
func readAll(fd int, buf []byte, size int) ([]byte, error) {
	if cap(buf) <= size {
		buf = make([]byte, 0, 1+size+size/4)
	}
	for {
		n, err := unix.Read(fd, buf[len(buf):size+1])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return buf, err
		}
		if buf = buf[:len(buf)+n]; n == 0 || len(buf) >= size {
			return buf, nil
		}
	}
}
