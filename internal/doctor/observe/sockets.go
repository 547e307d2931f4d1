package observe

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits on reading sockets.
const (
	maxServers     = 16
	maxDescriptors = 1 << 16
	maxTable       = 256 << 20 // bytes; it is not kept
)

// A listening process is one of a server, with the sockets on which it listens.
type listening struct {
	pid     int
	sockets []socket
}

// A socket is a socket that listens.
type socket struct {
	inode uint64
	path  string         // of a Unix socket
	at    netip.AddrPort // of a TCP socket
	uid   int            // of who made the TCP socket
}

// server records the process of a server, if it listens.
func (n *node) server(pid int) {
	if len(n.found) == maxServers {
		n.incomplete(fmt.Sprintf("there are more than %d servers", maxServers))
		return
	}
	mine := make(map[uint64]bool)
	dir, err := os.Open(n.file(pid, "fd"))
	if err != nil {
		return // it is root's, and this user is not root
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxDescriptors)
	for _, name := range names {
		link, _ := os.Readlink(n.file(pid, "fd/"+name))
		if number, isSocket := strings.CutPrefix(link, "socket:["); isSocket {
			inode, _ := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
			mine[inode] = true
		}
	}
	s := listening{pid: pid}
	n.eachSocket(pid, func(found socket) {
		if mine[found.inode] {
			s.sockets = append(s.sockets, found)
		}
	})
	if len(s.sockets) > 0 {
		n.found = append(n.found, s)
	}
}

// eachSocket calls f for each socket that listens in the network namespace of a process.
func (n *node) eachSocket(pid int, f func(socket)) {
	for _, name := range []string{"net/tcp", "net/tcp6", "net/unix"} {
		file, err := os.Open(n.file(pid, name))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(io.LimitReader(file, maxTable))
		for lines.Scan() {
			if found, ok := parseTCP(lines.Text()); ok {
				f(found)
			} else if found, ok := parseUnix(lines.Text()); ok {
				f(found)
			}
		}
		file.Close()
	}
}

// parseTCP parses a line of /proc/net/tcp.
func parseTCP(line string) (s socket, ok bool) {
	const listens = "0A"
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != listens {
		return s, false
	}
	address, port, _ := strings.Cut(fields[1], ":")
	words, err := hex.DecodeString(address)
	number, portErr := strconv.ParseUint(port, 16, 16)
	uid, uidErr := strconv.Atoi(fields[7])
	inode, inodeErr := strconv.ParseUint(fields[9], 10, 64)
	if errors.Join(err, portErr, uidErr, inodeErr) != nil || len(words)%4 != 0 {
		return s, false
	}
	for word := range slices.Chunk(words, 4) { // in the order of the machine
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(words)
	return socket{inode: inode, at: netip.AddrPortFrom(ip.Unmap(), uint16(number)), uid: uid}, ok
}

// parseUnix parses a line of /proc/net/unix.
func parseUnix(line string) (s socket, ok bool) {
	const listens = "00010000"
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[3] != listens || !filepath.IsAbs(fields[7]) {
		return s, false
	}
	inode, err := strconv.ParseUint(fields[6], 10, 64)
	return socket{inode: inode, path: strings.Join(fields[7:], " ")}, err == nil
}

// reach returns the address at which this process reaches one of the sockets of a server, or why it
// cannot.
func (n *node) reach(l *listening) (address string, err error) {
	for _, s := range l.sockets {
		kind := "net"
		if s.path != "" {
			kind = "mnt"
		}
		if address, err = s.address(), errElsewhere; n.namespace(l.pid, kind) == n.namespace(os.Getpid(), kind) {
			if err = n.check(address); err == nil {
				return address, nil
			}
		}
	}
	return address, err
}

var errElsewhere = errors.New("it is in a container: run sandmeter doctor there, for example with kubectl exec")

func (s *socket) address() string {
	switch {
	case s.path != "":
		return s.path
	case s.at.Addr().IsUnspecified():
		return net.JoinHostPort("localhost", strconv.Itoa(int(s.at.Port())))
	}
	return s.at.String()
}

// errNoListener means that nothing listens at an address.
var errNoListener = errors.New("nothing listens there")

// check returns nil if only root or this user can respond at an address of this machine.
func (n *node) check(address string) error {
	if filepath.IsAbs(address) {
		if info, err := os.Lstat(address); err != nil || info.Mode().Type() != os.ModeSocket {
			return errNoListener
		}
		return checkDir(filepath.Dir(address))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	err = errNoListener
	n.eachSocket(os.Getpid(), func(s socket) {
		switch {
		case s.path != "" || strconv.Itoa(int(s.at.Port())) != port || !reaches(host, s.at.Addr()):
		case !trustedUser(s.uid):
			err = fmt.Errorf("user %d listens at %s", s.uid, s.at)
		case err == errNoListener:
			err = nil
		}
	})
	return err
}

// reaches reports whether a connection to a host may reach a socket at an address of this machine.
func reaches(host string, at netip.Addr) bool {
	if at.IsUnspecified() {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap() == at
	}
	return at.IsLoopback() // localhost
}
