package observe

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
)

// tryInotify makes an inotify instance and watches all roots, as a server does, and removes both.
// The limits are those of the user, so it tells about servers of the same user only.
func (n *node) tryInotify() doctor.Inotify {
	result := doctor.Inotify{MaxInstances: n.sysctl("max_user_instances"), MaxWatches: n.sysctl("max_user_watches")}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		result.Instances = err.Error()
		return result
	}
	defer unix.Close(fd)
	for _, path := range n.examinedRoots() {
		// Other errors are those of the root, which have been found already.
		if _, err := unix.InotifyAddWatch(fd, path, unix.IN_CREATE); errors.Is(err, unix.ENOSPC) {
			result.Watches = "no more watches: " + err.Error()
		}
	}
	return result
}

// sysctl returns a limit of inotify; 0: not known.
func (n *node) sysctl(name string) int {
	data, _ := readFile(n.host("proc/sys/fs/inotify/" + name))
	limit, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return limit
}

// readClock returns whether the kernel says that the clock is synchronized.
func readClock() doctor.Clock {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return doctor.Clock{}
	}
	return doctor.Clock{Known: true, Synchronized: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0}
}
