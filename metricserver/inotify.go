package metricserver

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// The events that inotify reports in a runtime root, and in a directory that leads to roots. The latter
// may be /tmp, so writes to the files in it are not reported.
const (
	appearances    = unix.IN_CREATE | unix.IN_MOVED_TO
	disappearances = unix.IN_DELETE | unix.IN_MOVED_FROM
	ends           = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_IGNORED // of the watched directory itself

	maskAbove = unix.IN_ONLYDIR | unix.IN_MASK_ADD | appearances | disappearances | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	maskRoot  = maskAbove | unix.IN_MODIFY
)

// A change is an event in a watched directory.
type change struct {
	wd   int    // identifies the directory
	mask uint32 // unix.IN_CREATE etc.
	name string // of what has changed in the directory; empty: the directory itself
}

// A notifier reports changes in directories. A change identifies the directory by its watch descriptor,
// because a directory can be watched under several paths (/run and /var/run). fsnotify reports only
// one of them.
type notifier struct {
	changes <-chan change // closed when no more can be read
	add     func(dir string, mask uint32) (wd int, err error)
	remove  func(wd int)
	close   func()
}

func openInotify() (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "inotify") // not blocking, so Close ends a read
	changes, stop := make(chan change), make(chan struct{})
	go readChanges(file, changes, stop)
	return &notifier{
		changes: changes,
		add:     func(dir string, mask uint32) (int, error) { return unix.InotifyAddWatch(fd, dir, mask) },
		remove:  func(wd int) { _, _ = unix.InotifyRmWatch(fd, uint32(wd)) }, // the kernel may have done it
		close: func() {
			close(stop)
			file.Close()
			for range changes { // until the goroutine has ended
			}
		},
	}, nil
}

// readChanges sends the changes that it reads, until the file is closed.
func readChanges(file *os.File, changes chan<- change, stop <-chan struct{}) {
	defer close(changes)
	buffer := make([]byte, 64<<10)
	for {
		n, err := file.Read(buffer)
		if err != nil {
			return
		}
		for data := buffer[:n]; len(data) > 0; {
			var c change
			c, data = nextChange(data)
			select {
			case changes <- c:
			case <-stop:
				return
			}
		}
	}
}

// nextChange returns the first of the events that were read, and the rest. The layout of a struct
// inotify_event: wd, mask, cookie and the length of the name, 4 bytes each, and the name up to a NUL.
func nextChange(data []byte) (change, []byte) {
	if len(data) < unix.SizeofInotifyEvent {
		return change{}, nil
	}
	field := func(i int) uint32 { return binary.NativeEndian.Uint32(data[4*i:]) }
	end := unix.SizeofInotifyEvent + int64(field(3))
	if end > int64(len(data)) {
		return change{}, nil
	}
	name, _, _ := bytes.Cut(data[unix.SizeofInotifyEvent:end], []byte{0})
	return change{wd: int(int32(field(0))), mask: field(1), name: string(name)}, data[end:]
}
