package state

import "golang.org/x/sys/unix"

// HasFiles reports whether a directory has state files. One that cannot be read counts as having some.
func HasFiles(dir string) (bool, error) {
	fd, _, err := openDir(dir)
	if err != nil {
		return true, err
	}
	defer unix.Close(fd)
	found := false
	err = eachEntry(fd, make([]byte, 8<<10), func(name []byte) (goOn bool) {
		container, _ := ContainerOf(string(name))
		found = container != ""
		return !found
	})
	return found || err != nil, wrap(dir, err)
}
