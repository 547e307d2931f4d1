// Package trust tells which directories of the host other users can change.
package trust

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many links Linux follows in one path.
const maxLinks = 40

// Writers says who can write a directory or replace it, besides root and one user. Empty: nobody.
// The permissions of every directory on the way count, links are followed one at a time, and who
// owns a link can replace it. The error says why it is not known.
func Writers(path string, user int) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(dir, rest[0])
		rest = rest[1:]
		if next == dir {
			continue
		}
		if who, err := writersOf(dir, user, false); who != "" || err != nil {
			return who, err
		}
		target, err := os.Readlink(next)
		if err != nil { // Not a link. Its own check says so if it does not exist.
			dir = next
			continue
		}
		if who, err := ownerOf(next, user); who != "" || err != nil {
			return who, err
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", path, syscall.ELOOP)
		}
		if filepath.IsAbs(target) {
			dir = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return writersOf(dir, user, true)
}

// ownerOf says who owns a link, besides root and one user.
func ownerOf(link string, user int) (string, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(link, &st); err != nil {
		return "", fmt.Errorf("%s: %w", link, err)
	}
	if st.Uid != 0 && int(st.Uid) != user {
		return fmt.Sprintf("%s belongs to user %d", link, st.Uid), nil
	}
	return "", nil
}

// writersOf is Writers for one directory. In one with the sticky bit, others can make files, and
// not replace those of root: that counts for the last directory only.
func writersOf(dir string, user int, last bool) (string, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	sticky := st.Mode&syscall.S_ISVTX != 0 && !last
	switch mode := st.Mode & 0o777; {
	case st.Uid != 0 && int(st.Uid) != user:
		return fmt.Sprintf("%s belongs to user %d", dir, st.Uid), nil
	case mode&0o002 != 0 && !sticky:
		return fmt.Sprintf("%s is writable by everybody (mode %04o)", dir, mode), nil
	case mode&0o020 != 0 && st.Gid != 0 && !sticky:
		return fmt.Sprintf("%s is writable by group %d (mode %04o)", dir, st.Gid, mode), nil
	}
	return "", nil
}
