package host

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A mount is a mount of a cgroup hierarchy.
type mount struct {
	dir         string   // where it is mounted
	root        string   // the cgroup that dir shows
	controllers []string // of cgroup v1; none: cgroup v2
	own         []string // the path of this process's cgroup below dir, if root is above it
}

// parseMounts returns the mounts of cgroup hierarchies in /proc/PID/mountinfo.
func parseMounts(mountinfo []byte) []mount {
	var mounts []mount
	for line := range bytes.Lines(mountinfo) {
		before, after, _ := strings.Cut(string(line), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if len(place) < 5 || len(kind) < 3 {
			continue
		}
		m := mount{root: unescape(place[3]), dir: unescape(place[4])}
		switch kind[0] {
		case "cgroup":
			m.controllers = strings.Split(kind[2], ",") // other options are not names of controllers
		case "cgroup2":
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape replaces the octal escapes of mountinfo for white space and backslashes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// A membership is a line of /proc/PID/cgroup: the process's cgroup in one hierarchy.
type membership struct {
	controllers []string // of cgroup v1; none: cgroup v2
	path        string
}

// parseMemberships parses /proc/PID/cgroup.
func parseMemberships(data []byte) []membership {
	var list []membership
	for line := range bytes.Lines(data) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(path, "/") {
			continue
		}
		m := membership{path: strings.TrimSuffix(path, " (deleted)")}
		if id != "0" {
			m.controllers = strings.Split(controllers, ",")
		}
		list = append(list, m)
	}
	return list
}

// A field is a number in a file of a cgroup.
type field struct {
	key      string // the first word of its line; empty: the number is all there is
	quantity fact.Quantity
	scale    int64 // of the file's unit, in the quantity's
}

var errFormat = errors.New("unexpected content of a file")

// parseFields calls set for each field that the file has. It reads three forms: a number alone, a
// key and a number per line, and the lines of pressure files, which end with total=N. A file
// without a field is no error, because kernels differ.
func parseFields(data []byte, fields []field, set func(fact.Quantity, int64)) error {
	for line := range bytes.Lines(data) {
		key, value := cutKey(bytes.TrimSpace(line))
		for i := range fields {
			f := &fields[i]
			if f.key != string(key) {
				continue
			}
			n, err := parseCount(value, f.scale)
			if err != nil {
				return err
			}
			set(f.quantity, n)
		}
	}
	return nil
}

// cutKey splits a line into its key, which may be empty, and the last number.
func cutKey(line []byte) (key, value []byte) {
	first := bytes.IndexByte(line, ' ')
	if first < 0 {
		return nil, line
	}
	key, value = line[:first], line[first+1:]
	if total := bytes.LastIndex(value, []byte("total=")); total >= 0 {
		value = value[total+len("total="):]
	}
	return key, value
}

// parseCount returns a number that is not negative, times scale. The unlimited values of cgroup v1
// are a little below the largest number; products stop there.
func parseCount(text []byte, scale int64) (int64, error) {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0, errFormat
	}
	if n > uint64(math.MaxInt64/scale) {
		return math.MaxInt64, nil
	}
	return int64(n) * scale, nil
}
