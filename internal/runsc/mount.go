package runsc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmountBelow unmounts everything below dir: runsc leaves a mount in its root that pins a network
// namespace.
func unmountBelow(dir string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range mountsBelow(string(info), dir) {
		if err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW); err != nil {
			errs = append(errs, fmt.Errorf("umount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// mountsBelow returns the mount points below dir of a /proc/self/mountinfo, the last mounted first.
func mountsBelow(mountinfo, dir string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	return points
}

// unescape reverts the kernel's escapes for blanks and backslashes in a path, which are also Go's.
func unescape(path string) string {
	if plain, err := strconv.Unquote(`"` + path + `"`); err == nil {
		return plain
	}
	return path
}
