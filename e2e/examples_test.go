package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

const packageExamples = "../packaging/examples"

// TestExamplesOfPackages: a server and a client with the configurations of the packages, as they are,
// reach each other, and a client without a certificate does not reach the server.
func TestExamplesOfPackages(t *testing.T) {
	w := newSimulatedWorld(t)
	w.simulate(simulate.Spec{ID: "sb"})
	authority := testkit.NewAuthority(t)
	dir := filepath.Dir(authority.File)
	authority.Issue(t, "server", time.Now().Add(time.Hour))
	authority.Issue(t, "client", time.Now().Add(time.Hour))
	w.must(os.Link(authority.File, filepath.Join(dir, "clients.pem")))
	w.must(os.CopyFS(dir, os.DirFS(packageExamples)))
	w.must(os.WriteFile(filepath.Join(dir, "nobody.yml"), []byte("tls_config: {ca_file: authority.pem}\n"), 0o600))

	address := freePort(t)
	startServer(t, []string{"serve", "--root", w.root, "--web.listen-address", address, "--web.config.file", filepath.Join(dir, "web.yml")})
	health := func(client string) []string {
		return []string{"health", "--root", w.root, "--address", address, "--web.client-config.file", filepath.Join(dir, client)}
	}
	w.until(func() error { return newProgram(t, health("client.yml")...).Run() })
	nobody := newProgram(t, health("nobody.yml")...)
	nobody.exit(t, 1)
	if said := nobody.err.String(); !strings.Contains(said, "certificate required") {
		t.Errorf("without a certificate, health says %q", said)
	}
}

// TestScrapeExampleOfPackages: Prometheus accepts the scrape configuration of the packages.
func TestScrapeExampleOfPackages(t *testing.T) {
	promtool(t, "", "check", "config", filepath.Join(packageExamples, "prometheus.yml"))
}
