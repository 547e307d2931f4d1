package records

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// rotatedSuffix follows the name of a file that has reached its maximum size.
const rotatedSuffix = ".1"

// fileMode has no access for others: records have names of pods and images.
const fileMode = 0o640

// A file is a regular file, a FIFO, or standard output, which others may use too. Others follow their path:
// if the file is removed or renamed, as by logrotate, the next line goes to another one. Only one goroutine
// calls its methods, except for abort.
type file struct {
	path    string
	maxSize int64 // 0: no limit
	torn    bool  // the last line has no end

	current atomic.Pointer[os.File] // never nil
	aborted atomic.Bool
}

// openFile opens the file at the path, or creates it.
func openFile(path string, maxSize int64) (*file, error) {
	f := &file{path: path, maxSize: maxSize}
	if path == Stdout {
		f.current.Store(os.Stdout)
		return f, nil
	}
	if err := f.reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

// open opens a path, and reports whether the last line there has no end, as after a crash.
//
// A FIFO is opened for reading too, so that it can be opened and written before its reader comes,
// and while the reader restarts. O_NONBLOCK makes a write to it return when the file is closed.
func open(path string) (f *os.File, torn bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_NOCTTY, fileMode)
	if err != nil {
		return nil, false, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeNamedPipe {
		err = fmt.Errorf("%s: neither a regular file nor a FIFO", path)
	}
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		last := make([]byte, 1)
		_, err = f.ReadAt(last, info.Size()-1)
		torn = last[0] != '\n'
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, torn, nil
}

// reopen opens the path again, and then closes the old file.
func (f *file) reopen() error {
	opened, torn, err := open(f.path)
	if err != nil {
		return err
	}
	old := f.current.Swap(opened)
	f.torn = torn
	if f.aborted.Load() {
		opened.Close() // abort may have closed the old file only
	}
	if old != nil {
		old.Close() // an error would not be about the new file
	}
	return nil
}

// write appends a line, whole or not at all where the file system permits that.
func (f *file) write(line []byte) error {
	info, err := f.prepare(len(line))
	if err != nil {
		return err
	}
	if f.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := f.current.Load().Write(line)
	if err == nil {
		f.torn = false
	} else if n > 0 {
		f.torn = !f.undo(info, n) || f.torn
	}
	return err
}

// prepare makes another file if the current one is not at the path any more, or would exceed its
// maximum size. It looks at both each time, because others may rename, remove, or truncate the file. If
// no file can be opened at the path, a renamed one goes on. It returns the file's state before the next
// line.
func (f *file) prepare(length int) (fs.FileInfo, error) {
	info, err := f.current.Load().Stat()
	if err != nil || f.path == Stdout {
		return info, err
	}
	there, err := os.Stat(f.path)
	switch {
	case err != nil || !os.SameFile(there, info):
		if err = f.reopen(); err != nil && links(info) > 0 {
			return info, nil
		}
	case f.maxSize > 0 && info.Mode().IsRegular() && info.Size() > 0 && info.Size()+int64(length) > f.maxSize:
		err = f.rotate()
	default:
		return info, nil
	}
	if err != nil {
		return nil, err
	}
	return f.current.Load().Stat()
}

func links(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(stat.Nlink) // narrower on some architectures
}

// rotate renames the current file, and begins another.
func (f *file) rotate() error {
	if err := os.Rename(f.path, f.path+rotatedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.reopen()
}

// undo removes the first n bytes of a line that was not written to its end, as on a full disk. It
// reports whether that worked.
func (f *file) undo(before fs.FileInfo, n int) bool {
	now, err := f.current.Load().Stat()
	if err != nil || f.path == Stdout || !now.Mode().IsRegular() || now.Size() != before.Size()+int64(n) {
		return false
	}
	return f.current.Load().Truncate(before.Size()) == nil
}

func (f *file) close() error {
	if f.path == Stdout {
		return nil
	}
	return f.current.Load().Close()
}

// abort makes a write that blocks fail, unless it is to standard output. It is for another goroutine.
func (f *file) abort() {
	f.aborted.Store(true)
	_ = f.close()
}
