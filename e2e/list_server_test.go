package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// secured returns the flag of a server with TLS and a password, and the flags of a client with all
// of it, and of one without the password. The world's client gets it too.
func (w *world) secured() (server, client, nobody []string) {
	w.t.Helper()
	authority := testkit.NewAuthority(w.t)
	certificate := authority.Issue(w.t, "server", time.Now().Add(time.Hour))
	write := func(name, text string) string {
		path := filepath.Join(w.node.Dir(), name)
		w.must(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	web := write("web.yml", fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {me: %s}\n",
		certificate.CertFile, certificate.KeyFile, testkit.PasswordHash))
	trust := "tls_config: {ca_file: " + authority.File + "}\n"
	with := write("client.yml", trust+"basic_auth: {username: me, password: "+testkit.Password+"}\n")
	without := write("nobody.yml", trust)
	w.client = metricclient.NewMetricClientWithOptions(w.addr, w.root, metricclient.WithTLS(&tls.Config{RootCAs: authority.Pool}),
		metricclient.WithBasicAuth("me", testkit.Password))
	w.t.Cleanup(w.client.Close)
	return []string{"--web.config.file", web}, []string{"--web.client-config.file", with}, []string{"--web.client-config.file", without}
}

// TestListOfAServer: list shows what a server with TLS and a password knows about sandboxes.
func TestListOfAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pod := runsc.Pod{Sandbox: "pod", Name: "web-1", Namespace: "shop"}
	add := w.pod(pod)
	add("pod", func(*runsc.Container) {})
	add("app", func(*runsc.Container) {})
	w.start("killed", "idle")
	w.reaped(w.kill("killed")) // before there is a server, which cannot know how it ended
	w.start("stopped", "idle")
	w.stopSandbox("stopped")
	server, client, nobody := w.secured()
	w.startServer(w.serveArgs(server...))
	list := func(flags ...string) []string { return append([]string{"list", "--address", w.addr}, flags...) }

	table := w.command(list(client...)...)
	for _, row := range []string{
		`killed +- +- +unknown +- +1 +\S+ \S+ +not running`,
		`pod +shop +web-1 +running +\d+ +2 +\S+ \S+ +ok`,
		`stopped +- +- +running +\d+ +1 +\S+ \S+ +failed \(stalled\)`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(table) {
			t.Errorf("no row %s in\n%s", row, table)
		}
	}
	var document struct {
		Sandboxes []struct {
			ID     string
			Status string `json:"query_status"`
		}
	}
	w.must(json.Unmarshal([]byte(w.command(list(append(client, "--json")...)...)), &document))
	got := map[string]string{}
	for _, s := range document.Sandboxes {
		got[s.ID] = s.Status
	}
	if want := map[string]string{"killed": "not_running", "pod": "ok", "stopped": "failed"}; !maps.Equal(got, want) {
		t.Errorf("list --json shows %v, want %v", got, want)
	}
	w.fails("does not accept the credentials; give the user name and password.*", list(nobody...)...)
	w.fails("TLS failed: the server requires it.*", list()...)
}
