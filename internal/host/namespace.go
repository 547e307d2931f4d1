package host

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits on files about a process, in bytes. runsc passes the sandbox's ID at the end of a command line of
// about 1 KB.
const (
	maxStatus      = 16 << 10
	maxCommandLine = 128 << 10
)

// NamespacePIDs returns the IDs of the process pid in the PID namespaces that it belongs to, from
// this server's to its own. There is one if it has no PID namespace of its own. It is nil if the
// process does not exist. A zombie has its IDs until it is reaped.
func NamespacePIDs(pid int) []int { return namespacePIDs("", pid) }

func namespacePIDs(root string, pid int) []int {
	return pidsIn(root + "/proc/" + strconv.Itoa(pid) + "/status")
}

// NamespacePIDsOf is NamespacePIDs for the process of a pidfd. It takes a third of the time, and /proc shows
// a process that it hides from this user.
func NamespacePIDsOf(pidfd int) []int { return pidsIn("/proc/self/fdinfo/" + strconv.Itoa(pidfd)) }

func pidsIn(file string) []int {
	var buffer [maxStatus]byte
	status, _ := readFile(file, buffer[:])
	return parseNamespacePIDs(status)
}

// parseNamespacePIDs returns the IDs in the field NSpid of /proc/PID/status, or of the file in fdinfo, or nil.
func parseNamespacePIDs(status []byte) []int {
	const name = "\nNSpid:"
	at := bytes.Index(status, []byte(name))
	if at < 0 {
		return nil
	}
	line, _, _ := bytes.Cut(status[at+len(name):], []byte("\n"))
	var pids []int
	for rest := bytes.TrimSpace(line); len(rest) > 0; {
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte("\t"))
		id, err := strconv.ParseUint(string(field), 10, 31)
		if err != nil {
			return nil
		}
		pids = append(pids, int(id))
	}
	return pids
}

// CommandLine returns the arguments of the process pid, or nil. A process can change its own.
func CommandLine(pid int) []string {
	var usual [4 << 10]byte
	path := "/proc/" + strconv.Itoa(pid) + "/cmdline"
	line, err := readFile(path, usual[:])
	if err == unix.EFBIG {
		line, _ = readFile(path, make([]byte, maxCommandLine))
	}
	if len(line) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}
