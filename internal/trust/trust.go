// Package trust tells which directories of the host other users can change.
package trust

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Writers says who can write a directory or replace it, besides root and one user. Empty: nobody.
// The permissions of every directory on the way count, and of those in which its links are. The
// error says why it is not known.
func Writers(path string, user int) (string, error) {
	full, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	for _, path := range []string{filepath.Clean(path), full} {
		for dir := path; ; dir = filepath.Dir(dir) {
			if who, err := writersOf(dir, user, dir == path); who != "" || err != nil {
				return who, err
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", nil
}

// writersOf is Writers for one directory. In one with the sticky bit, others can make files, and
// not replace those of root: that counts for the last directory only.
func writersOf(dir string, user int, last bool) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("the owner of %s is unknown", dir)
	}
	sticky := info.Mode()&fs.ModeSticky != 0 && !last
	switch mode := info.Mode().Perm(); {
	case st.Uid != 0 && int(st.Uid) != user:
		return fmt.Sprintf("%s belongs to user %d", dir, st.Uid), nil
	case mode&0o002 != 0 && !sticky:
		return fmt.Sprintf("%s is writable by everybody (mode %04o)", dir, mode), nil
	case mode&0o020 != 0 && st.Gid != 0 && !sticky:
		return fmt.Sprintf("%s is writable by group %d (mode %04o)", dir, st.Gid, mode), nil
	}
	return "", nil
}
