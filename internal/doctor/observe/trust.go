package observe

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/trust"
)

// Every user can start a process with the command line of a server, and can listen at an address
// where no server does. So a command line counts only if root or this user chose it, and a reply
// only if root or this user listens there, or if the user of this command gave the address.

// maxUntrusted limits how many processes and addresses of other users are listed.
const maxUntrusted = 1000

func trustedUser(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// untrusted records of a process or an address of another user.
func (n *node) untrusted(s doctor.UntrustedServer) {
	if len(n.observed.UntrustedServers) < maxUntrusted {
		n.observed.UntrustedServers = append(n.observed.UntrustedServers, s)
	}
}

// foreign says why the command line of the process of a server may be another user's choice; empty:
// root or this user chose it. A setuid program runs as root with the command line of its caller, so
// the program file has to be that of a server, too. The command line is read again at the end,
// because another process may have got the PID since.
func (n *node) foreign(p *proc) string {
	if who := n.foreignUser(p.pid); who != "" {
		return who
	}
	program, err := os.Readlink(n.proc(p.pid, "exe"))
	if err != nil && os.Geteuid() == 0 {
		return "its program file is unknown"
	}
	args := slices.Clone(p.args)
	args[0] = strings.TrimSuffix(program, deleted)
	noVariables := func(string) string { return "" }
	if _, isServer, _ := n.ParseServer(args, noVariables); err == nil && !isServer {
		return "its program is " + args[0]
	}
	if again := n.commandLine(p.pid); again == nil || !slices.Equal(again.args, p.args) {
		return "its command line has changed"
	}
	return ""
}

// foreignUser says which user other than root and this one runs a process; empty: none. The owner
// of its directory in /proc does not tell: root owns it if the process does not allow core dumps.
func (n *node) foreignUser(pid int) string {
	uids := n.uids(pid)
	if len(uids) == 0 {
		return "its user is unknown"
	}
	for _, uid := range uids {
		if !trustedUser(uid) {
			return fmt.Sprintf("it runs as user %d", uid)
		}
	}
	return ""
}

// uids returns the real, effective, saved and file system user IDs of a process; nil: not known.
func (n *node) uids(pid int) []int {
	status, _ := readFile(n.proc(pid, "status"))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			var uids []int
			for _, field := range strings.Fields(rest) {
				uid, err := strconv.Atoi(field)
				if err != nil {
					return nil
				}
				uids = append(uids, uid)
			}
			return uids
		}
	}
	return nil
}

// A listener is a TCP socket of this network namespace that listens.
type listener struct {
	at  netip.AddrPort
	uid int // of who made the socket
}

// errNoListener is why a reply does not count although no other user is known to have sent it.
var errNoListener = errors.New("no socket of this network namespace listens there")

// trustedAddress returns how to connect to the server at an address so that root or this user
// replies, or why there is no such way. With errNoListener, the address is nobody's.
func (n *node) trustedAddress(address string) (string, error) {
	if filepath.IsAbs(address) {
		return address, trustedSocket(address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, err
	}
	var trusted, foreign []listener
	for _, l := range n.listeners() {
		switch {
		case strconv.Itoa(int(l.at.Port())) != port || !reaches(host, l.at.Addr()):
		case trustedUser(l.uid):
			trusted = append(trusted, l)
		default:
			foreign = append(foreign, l)
		}
	}
	switch {
	case len(foreign) == 0 && len(trusted) == 0:
		return address, errNoListener
	case len(foreign) == 0:
		return address, nil
	case len(trusted) == 0:
		return address, fmt.Errorf("user %d listens there", foreign[0].uid)
	}
	return net.JoinHostPort(local(trusted[0].at.Addr()).String(), port), nil
}

// trustedSocket says why a Unix socket may be another user's; nil: it is not, or it does not exist.
func trustedSocket(path string) error {
	full, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		full = path // somebody could still make it
	case err != nil:
		return err
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(full)} {
		who, err := trust.Writers(dir, os.Geteuid())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if who != "" {
			return errors.New(who)
		}
	}
	info, err := os.Stat(full)
	if err != nil {
		return nil // connecting says why
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !trustedUser(int(st.Uid)) {
		return fmt.Errorf("%s belongs to user %d", full, st.Uid)
	}
	return nil
}

// reaches reports whether a connection to a host may reach a socket that listens at an address of
// this machine. A name other than localhost may be that of any address.
func reaches(host string, at netip.Addr) bool {
	if at.IsUnspecified() {
		return true
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "" || host == "localhost" || err == nil && ip.IsUnspecified():
		return at.IsLoopback()
	case err == nil:
		return ip.Unmap() == at
	}
	return true
}

// local returns an address at which a socket of this machine is reached.
func local(at netip.Addr) netip.Addr {
	switch {
	case !at.IsUnspecified():
		return at
	case at.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// listeners returns the TCP sockets that listen in this network namespace.
func (n *node) listeners() []listener {
	var all []listener
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		table, _ := readFile(n.proc(os.Getpid(), name)) // sockets that listen are first
		for line := range strings.Lines(string(table)) {
			if l, ok := parseListener(strings.Fields(line)); ok {
				all = append(all, l)
			}
		}
	}
	return all
}

// parseListener returns the socket of a line of /proc/net/tcp if it listens.
func parseListener(fields []string) (l listener, ok bool) {
	const listens = "0A"
	if len(fields) < 8 || fields[3] != listens {
		return listener{}, false
	}
	address, port, _ := strings.Cut(fields[1], ":")
	words, err := hex.DecodeString(address)
	number, portErr := strconv.ParseUint(port, 16, 16)
	uid, uidErr := strconv.Atoi(fields[7])
	if errors.Join(err, portErr, uidErr) != nil || len(words)%4 != 0 {
		return listener{}, false
	}
	for word := range slices.Chunk(words, 4) { // in the order of the machine
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(words)
	return listener{netip.AddrPortFrom(ip.Unmap(), uint16(number)), uid}, ok
}
