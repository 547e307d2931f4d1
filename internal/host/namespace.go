package host

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
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
	status, _ := readHead(root+"/proc/"+strconv.Itoa(pid)+"/status", maxStatus)
	return parseNamespacePIDs(status)
}

// parseNamespacePIDs returns the IDs in the field NSpid of /proc/PID/status, or nil.
func parseNamespacePIDs(status []byte) []int {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte("NSpid:"))
		if !ok {
			continue
		}
		var pids []int
		for _, field := range bytes.Fields(rest) {
			id, err := strconv.ParseUint(string(field), 10, 31)
			if err != nil {
				return nil
			}
			pids = append(pids, int(id))
		}
		return pids
	}
	return nil
}

// CommandLine returns the arguments of the process pid, or nil. A process can change its own.
func CommandLine(pid int) []string {
	line, _ := readHead("/proc/"+strconv.Itoa(pid)+"/cmdline", maxCommandLine)
	if len(line) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}

// readHead reads up to limit bytes of a file.
func readHead(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}
