package state

import (
	"bytes"
	"encoding/binary"
)

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
