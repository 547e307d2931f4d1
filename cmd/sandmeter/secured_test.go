package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// write creates a file in the directory of the test.
func (w *world) write(name, text string) {
	w.Helper()
	w.must(os.WriteFile(w.path(name), []byte(text), 0o600))
}

// TestSecuredServe runs serve with TLS and passwords on several addresses, and runs the client
// commands against it.
func TestSecuredServe(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	authority := testkit.NewAuthority(t)
	until := time.Now().Add(time.Hour)
	server, client := authority.Issue(t, "server", until), authority.Issue(t, "client", until)
	w.write("web.yml", fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s, client_ca_file: %s, client_auth_type: RequireAndVerifyClientCert}\n"+
		"basic_auth_users: {me: %s}\n", server.CertFile, server.KeyFile, authority.File, testkit.PasswordHash))
	tlsSection := fmt.Sprintf("tls_config: {ca_file: %s, cert_file: %s, key_file: %s}\n", authority.File, client.CertFile, client.KeyFile)
	w.write("client.yml", tlsSection+"basic_auth: {username: me, password: "+testkit.Password+"}\n")
	w.write("nobody.yml", tlsSection)
	w.write("plain.yml", "basic_auth: {username: me, password: "+testkit.Password+"}\n")
	s := w.serve("serve --root {root} --web.listen-address 127.0.0.1:0 --web.listen-address {socket} --web.config.file {dir}/web.yml " +
		"--web.telemetry-path /x")
	var port string
	w.until("it says where it serves", func() bool {
		port = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(s.err.String())
		return strings.HasSuffix(s.err.String(), "\n")
	})
	contains(t, s.err.String(), " address="+port+","+w.socket+" ", " web_config="+w.path("web.yml")+"\n")

	for _, address := range []string{port, w.socket} {
		clients := func(want int, says, flags string) {
			t.Helper()
			for _, line := range []string{"health --root {root}", "get --filter ^fs_opens$ --web.telemetry-path /x", "list"} {
				code, out, err := w.command(line + " --address " + address + " " + flags)
				if code != want || !strings.Contains(out+err, says) {
					t.Errorf("%s at %s %s: exits with %d and says\n%s%s", line, address, flags, code, out, err)
				}
			}
		}
		clients(cli.ExitOK, "", "--web.client-config.file {dir}/client.yml")
		clients(cli.ExitFail, "does not accept the credentials; give the user name", "--web.client-config.file {dir}/nobody.yml")
		clients(cli.ExitFail, "TLS failed: ", "--web.client-config.file {dir}/plain.yml")
		clients(cli.ExitFail, "TLS failed: the server requires it, and the client does not use it; check tls_config", "")
	}
}

// TestServeOnSystemdSockets checks that the process serves on inherited file descriptors.
func TestServeOnSystemdSockets(t *testing.T) {
	w := newWorld(t)
	w.fails("serve --root {root} --web.systemd-socket", cli.ExitFail,
		"systemd passed no socket: start the service by a .socket unit, or leave out --web.systemd-socket")

	tcp, unix := w.listenFile("tcp", "127.0.0.1:0"), w.listenFile("unix", w.socket)
	program := w.program("serve --root {root} --web.systemd-socket", tcp.file, unix.file)
	for _, address := range []string{tcp.addr, unix.addr} {
		w.until("it serves at "+address, func() bool {
			code, _, _ := w.command("health --root {root} --address " + address)
			return code == cli.ExitOK
		})
	}
	w.until("it says where it serves", func() bool { return program.errs.String() != "" })
	contains(t, program.errs.String(), " address="+tcp.addr+","+unix.addr+" ", " url=http://"+tcp.addr+"/metrics\n")
	if code := program.stop(); code != cli.ExitOK {
		t.Errorf("it exits with %d and says %s", code, program.errs.String())
	}
	if _, err := os.Lstat(w.socket); err != nil {
		t.Errorf("systemd's socket is not systemd's to remove: %v", err)
	}

	datagrams, err := os.Open(os.DevNull)
	w.must(err)
	defer datagrams.Close()
	program = w.program("serve --root {root} --web.systemd-socket", datagrams)
	const want = "sandmeter: systemd passed a file descriptor that is no stream socket: the .socket unit should have ListenStream= only\n"
	if code := program.wait(); code != cli.ExitFail || program.errs.String() != want {
		t.Errorf("it exits with %d and says %s", code, program.errs.String())
	}
}
