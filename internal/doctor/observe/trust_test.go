package observe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricserver"
)

// serverOf makes processes whose program is sandmeter servers with the settings.
func (w *world) serverOf(settings doctor.Settings) {
	w.options.ParseServer = func(args []string, _ func(string) string) (doctor.Settings, bool, error) {
		return settings, filepath.Base(args[0]) == "sandmeter", nil
	}
}

// TestUntrustedServers: whose command line of a server counts, and that nothing of the others is used.
func TestUntrustedServers(t *testing.T) {
	own, other := os.Geteuid(), 65534
	check := func(name, want string, uids [4]int, program string) {
		t.Helper()
		w := newWorld(t)
		w.serverOf(doctor.Settings{Command: "serve", Roots: []string{w.root}, Runsc: []string{"/opt/chosen"}, RegistrationFile: "/etc/shadow"})
		w.processOf(uids, 80, "sandmeter serve")
		w.program(80, program)
		w.options.UsualRoots = []string{w.root}
		o := w.observe()
		isServer := slices.ContainsFunc(o.Servers, func(s doctor.Server) bool { return s.PID == 80 })
		used := slices.Contains(o.Programs, "/opt/chosen") || o.RegistrationFile || len(o.Incomplete) > 0
		got := ""
		if len(o.UntrustedServers) > 0 {
			got = o.UntrustedServers[0].Why
		}
		if got != want || isServer == (want != "") || used == (want != "") {
			t.Errorf("%s: %q, want %q; it is a server: %t; its settings are used: %t", name, got, want, isServer, used)
		}
	}
	check("this user's", "", [4]int{own, own, own, own}, "sandmeter")
	check("root's", "", [4]int{0, 0, 0, 0}, "/opt/sandmeter")
	check("of a server that was upgraded", "", [4]int{own, own, own, own}, "/usr/bin/sandmeter (deleted)")
	check("another user's", "it runs as user 65534", [4]int{other, other, other, other}, "sandmeter")
	check("of a setuid program", "it runs as user 65534", [4]int{other, 0, 0, 0}, "sandmeter")
	check("of a process that gave up its user for a moment", "it runs as user 65534", [4]int{0, 0, other, 0}, "sandmeter")
	check("of a setuid program that has become root", "its program is /usr/bin/sudo", [4]int{0, 0, 0, 0}, "/usr/bin/sudo")
}

// TestUntrustedServersDoNotServe: a reply from a directory that others can write counts only if the user
// gave its address.
func TestUntrustedServersDoNotServe(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	dir := filepath.Join(w.dir, "open")
	w.must(os.Mkdir(dir, 0o755))
	w.must(os.Chmod(dir, 0o777))
	address := filepath.Join(dir, "socket")
	defer w.serve(metricserver.Options{Roots: []string{w.root}, Addresses: []string{address}})()
	w.options.UsualRoots, w.options.Address = []string{w.root}, address
	o := w.observe()
	if len(o.Servers) != 0 || len(o.UntrustedServers) != 1 || o.UntrustedServers[0].Address != address || !strings.Contains(o.UntrustedServers[0].Why, "writable by everybody") {
		t.Errorf("%+v, %+v", o.Servers, o.UntrustedServers)
	}
	w.wants(o, "servers/server_not_trusted")
	w.serverOf(doctor.Settings{Command: "serve", Roots: []string{w.root}, Addresses: []string{address}})
	w.process(80, "sandmeter serve")
	o = w.observe()
	if len(o.Servers) != 1 || o.Servers[0].Untrusted == "" || len(o.Servers[0].Sandboxes) != 0 {
		t.Errorf("with a process: %+v", o.Servers)
	}
	w.options.Given = true
	o = w.observe()
	if len(o.Servers) != 1 || len(o.Servers[0].Sandboxes) != 1 {
		t.Errorf("with --address: %+v", o.Servers)
	}
}

// TestListeners: where a connection may end, and whose sockets those are.
func TestListeners(t *testing.T) {
	w := newWorld(t)
	own, other := fmt.Sprint(os.Geteuid()), "65534"
	n := &node{Options: w.options, observed: new(doctor.Observed)}
	n.HostRoot = filepath.Join(w.dir, "tcp")
	net := filepath.Join(n.HostRoot, "proc", fmt.Sprint(os.Getpid()), "net")
	w.must(os.MkdirAll(net, 0o755))
	const any4, loop4, node4 = "00000000", "0100007F", "0700000A"
	const any6, loop6 = "00000000000000000000000000000000", "00000000000000000000000001000000"
	write := func(name string, sockets [][2]string) {
		text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		for _, s := range sockets {
			text += "   0: " + s[0] + ":4CB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  " + s[1] + "        0 631 1\n"
		}
		text += "   1: " + loop4 + ":4CB9 0100007F:B704 01 00000000:00000000 03:00000326 00000000     0        0 0 3\n"
		w.must(os.WriteFile(filepath.Join(net, name), []byte(text), 0o644))
	}
	check := func(address, want string, four, six [][2]string) {
		t.Helper()
		write("tcp", four)
		write("tcp6", six)
		got, err := n.trustedAddress(address)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s with %q and %q: %s, want %s", address, four, six, got, want)
		}
	}
	at := func(address, uid string) [][2]string { return [][2]string{{address, uid}} }
	check("localhost:19640", "localhost:19640", at(loop4, own), nil)
	check(":19640", ":19640", nil, at(any6, "0"))
	check("localhost:19640", "user 65534 listens there", at(loop4, other), nil)
	check("127.0.0.1:19640", "user 65534 listens there", at(any4, other), nil)
	check("localhost:19640", errNoListener.Error(), nil, nil)
	check("localhost:19641", errNoListener.Error(), at(loop4, own), nil) // a connection, and no listener
	check("127.0.0.1:19640", errNoListener.Error(), nil, at(loop6, own))
	check("10.0.0.7:19640", "10.0.0.7:19640", at(node4, own), at(loop6, other))
	check("node1:19640", "user 65534 listens there", at(node4, other), nil)
	// A client prefers ::1, where another user can listen if the server is at 127.0.0.1.
	check("localhost:19640", "127.0.0.1:19640", at(loop4, own), at(loop6, other))
	check("localhost:19640", "127.0.0.1:19640", at(any4, own), at(loop6, other))
	check("localhost:19640", "[::1]:19640", at(loop4, other), at(any6, own))
}
