package control

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNoFinalMetrics is the error for an empty final metrics log. runsc creates the file together
// with the sandbox, and the sandbox writes to it when it ends by itself or is stopped, but not when
// it is killed with SIGKILL or runs out of memory.
var ErrNoFinalMetrics = errors.New("the final metrics log is empty: the sandbox was killed before it wrote its last metrics")

// errLogChanging is for a log that changes while it is read: the process of the sandbox has ended,
// but another process has the file open.
var errLogChanging = errors.New("the file changes while it is read, although the sandbox has ended")

// ReadFinalLog reads the file to which a sandbox wrote its last metrics, of at most limit bytes.
// Call it only after the process of the sandbox has ended.
//
// runsc opens the file and gives the sandbox the descriptor, so a hostile sandbox can write
// anything and any amount to it, at any time, and can set locks and leases. It cannot replace the
// file, because the directory is the host's. Nevertheless the last element of the path may be
// anything: the sandbox never makes the server wait, follow a link, or read more than limit+1
// bytes. The error is ErrNoFinalMetrics, or says why the file is refused; it contains no bytes of
// the file.
func ReadFinalLog(path string, limit int) (Reply, error) {
	data, err := readLog(path, limit, unix.Fstat)
	switch {
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("%w (was runsc given the same --final-metrics-log?)", err)
	case errors.Is(err, unix.ELOOP):
		err = errors.New("it is a symbolic link")
	}
	if err != nil && err != ErrNoFinalMetrics {
		return Reply{}, fmt.Errorf("cannot read the final metrics log %q: %w", path, err)
	}
	return Reply{data}, err
}

// readLog is ReadFinalLog. Tests change the file in their own fstat.
func readLog(path string, limit int, fstat func(int, *unix.Stat_t) error) ([]byte, error) {
	// Without O_NONBLOCK, opening waits for the writer of a FIFO, and up to 45 seconds for the holder of a
	// lease.
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // without the path
	}
	defer f.Close()
	fd := int(f.Fd())
	var before, after unix.Stat_t
	if err := fstat(fd, &before); err != nil {
		return nil, err
	}
	if err := checkLog(&before, limit); err != nil {
		return nil, err
	}
	data := make([]byte, before.Size+1) // with a byte that the file must not have
	n, err := io.ReadFull(f, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	if err := fstat(fd, &after); err != nil {
		return nil, err
	}
	if int64(n) != before.Size || before.Size != after.Size || before.Mtim != after.Mtim || before.Ctim != after.Ctim {
		return nil, errLogChanging
	}
	return data[:n], nil
}

// checkLog checks what fstat says about an opened file.
func checkLog(stat *unix.Stat_t, limit int) error {
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is not a regular file")
	case stat.Nlink > 1:
		return errors.New("it has hard links, so it can be any other file")
	case stat.Size > int64(limit):
		return fmt.Errorf("its %d bytes exceed the limit of %d, the longest log with every registered metric", stat.Size, limit)
	case stat.Size == 0:
		return ErrNoFinalMetrics
	}
	return nil
}
