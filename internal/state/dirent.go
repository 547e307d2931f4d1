package state

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// eachEntry calls f with the names of the entries of a directory, until it returns false. The buffer is
// for entries: a name is valid during the call.
func eachEntry(dir int, buffer []byte, f func(name []byte) (goOn bool)) error {
	for {
		n, err := unix.Getdents(dir, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for entries := buffer[:n]; len(entries) > 0; {
			var name []byte
			if name, entries = nextEntry(entries); !f(name) {
				return nil
			}
		}
	}
}

// Layout of a struct linux_dirent64: d_ino (8 bytes), d_off (8), d_reclen (2), d_type (1), d_name
// up to a NUL.
const (
	direntLength = 16
	direntName   = 19
)

// nextEntry returns the name of the first directory entry, and the entries after it. Both are parts
// of entries, so listing a root with thousands of unchanged files makes no garbage.
func nextEntry(entries []byte) (name, rest []byte) {
	if len(entries) < direntName {
		return nil, nil
	}
	length := int(binary.NativeEndian.Uint16(entries[direntLength:]))
	if length < direntName || length > len(entries) {
		return nil, nil
	}
	name = entries[direntName:length]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return name, entries[length:]
}
