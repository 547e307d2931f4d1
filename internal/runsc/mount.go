package runsc

import (
	"errors"
	"fmt"
	"os"
	"regexp"
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
		if point := unescapeOctal(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	return points
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// unescapeOctal reverts the kernel's escapes for blanks and backslashes in a path.
func unescapeOctal(s string) string {
	return octal.ReplaceAllStringFunc(s, func(escape string) string {
		code, err := strconv.ParseUint(escape[1:], 8, 8)
		if err != nil {
			return escape // \400 and above are not bytes
		}
		return string([]byte{byte(code)})
	})
}
