package host

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxStatus and maxCommandLine limit reads of files about a process, in bytes. runsc passes the sandbox's
// ID at the end of a command line of about 1 KB.
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
	var buf [4 << 10]byte
	status, _ := readHead(file, buf[:], maxStatus)
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
	var buf [4 << 10]byte
	line, _ := readHead("/proc/"+strconv.Itoa(pid)+"/cmdline", buf[:], maxCommandLine)
	if len(line) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}

// readHead reads up to limit bytes of a file in /proc, into buf if they fit. It allocates nothing then, and
// takes a quarter of the system calls of os.ReadFile: a first collection reads two files for each sandbox.
func readHead(path string, buf []byte, limit int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for read := 0; ; {
		n, err := unix.Read(fd, buf[read:])
		if err != nil {
			return nil, err
		}
		read += n
		if read < len(buf) || read == limit { // /proc fills the buffer unless the file ends
			return buf[:read], nil
		}
		buf = append(buf, make([]byte, min(len(buf), limit-len(buf)))...)
	}
}
