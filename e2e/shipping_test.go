package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// envRequireCollector names the environment variable that turns skipping the tests with an
// OpenTelemetry collector into failing when it is "1".
const envRequireCollector = "SANDMETER_REQUIRE_COLLECTOR"

// A shipper is a program that scrapes the server and sends the metrics to a store, as
// docs/shipping.md has it.
type shipper struct {
	heading string
	path    string // of the program, in the checkout
	config  string // name of the configuration file on the command line
	// addr begins a flag that the document does not have: the address on which the program listens.
	addr string
	// flags are others that the document does not have.
	flags  []string
	starts bool // whether the store gets the start times of counters
}

var shippers = []shipper{
	{heading: "## Prometheus in agent mode", path: "bin/prometheus", config: "agent.yml", addr: "--web.listen-address="},
	{heading: "### Start times of counters", path: "bin/prometheus", config: "agent.yml", addr: "--web.listen-address=", starts: true},
	{heading: "## vmagent", path: "bin/debian/vmagent", config: "vmagent.yml", addr: "-httpListenAddr="},
	// The collector's metrics about itself have a fixed port.
	{heading: "## OpenTelemetry Collector", path: collectorPath, config: "collector.yml",
		flags: []string{"--set=service.telemetry.metrics.level=none"}},
}

// collectorPath is where make puts the collector.
const collectorPath = "bin/otelcol"

// TestShipping runs the programs of docs/shipping.md with the configurations and command lines of
// the document, and asks the store that they send to.
func TestShipping(t *testing.T) {
	t.Parallel()
	document := readDocument(t, "shipping.md")
	w := newWorld(t)
	const worked = 100
	w.start("worked", "touch", fmt.Sprint(worked))
	w.start("removed", "touch", "0")
	e := w.endpoint("HTTP", nil)
	e.begin()
	opens := e.untilWorked("worked", "removed", worked)

	program := peerProgram{name: "the store", zeros: true,
		flags: prometheusFlags("--web.enable-remote-write-receiver", "--enable-feature=created-timestamp-zero-ingestion")}
	store := w.startPeer(program, findPeer(t, "bin/prometheus"), nil)
	for _, s := range shippers {
		name := strings.TrimLeft(s.heading, "# ")
		t.Run(name, func(t *testing.T) { s.find(t) })
		if path, err := s.lookUp(); err == nil {
			j := job{protocol: protocol{name: name, starts: s.starts}, endpoint: e}
			s.start(t, path, document, j, store.addr)
			store.jobs = append(store.jobs, j)
		}
	}
	ps := peers{w, []peer{store}}
	ps.until(1, "up")
	ps.until(opens, opensFamily+`{sandbox="worked"}`)
	ps.eachJob(peer.agrees)
	ps.eachJob(func(p peer, j job) error { return p.lists(j, e.sandboxes()) })
	created := e.created("worked")
	ps.eachJob(func(p peer, j job) error { return p.beginsWith(j, created, opens, `sandbox="worked"`) })

	// A sandbox that leaves the page leaves the store, not five minutes later.
	w.reaped(w.kill("removed"))
	w.remove("removed")
	ps.untilNone(`{sandbox="removed"}`)
	ps.until(opens, opensFamily+`{sandbox="worked"}`)
}

func (s shipper) lookUp() (path string, err error) {
	if path, err = filepath.Abs(filepath.Join("..", s.path)); err == nil {
		_, err = os.Stat(path)
	}
	return path, err
}

// find skips the test without the program, or fails it if the program is required.
func (s shipper) find(t *testing.T) {
	t.Helper()
	_, err := s.lookUp()
	switch {
	case err == nil:
	case s.path == collectorPath:
		noCollector(t, err)
	default:
		runsctest.Unavailable(t, fmt.Errorf("%w: run make peers", err))
	}
}

func noCollector(t *testing.T, err error) {
	t.Helper()
	if os.Getenv(envRequireCollector) == "1" {
		t.Fatal(err)
	}
	t.Skipf("%v: run make %s; $%s=1 makes this an error", err, collectorPath, envRequireCollector)
}

// start starts the program as the document has it, but for addresses, the name of the job, and a
// shorter interval. It ends with the test.
func (s shipper) start(t *testing.T, path string, document section, j job, store string) {
	t.Helper()
	part := document.section(s.heading)
	config := part.replaced(part.block("yaml"),
		"job_name: sandmeter", "job_name: "+j.String(), "15s", "1s", "localhost:19640", j.endpoint.addr)
	line := part.block("sh")
	const remote = "metrics.example.com:9090"
	if strings.Contains(line, remote) {
		line = part.replaced(line, remote, store)
	} else {
		config = part.replaced(config, remote, store)
	}
	var flags []string
	if s.addr != "" {
		flags = append(flags, s.addr+freePort(t))
	}
	part.run(line, path, s.config, config, append(flags, s.flags...)...)
}

// run runs a command line of a document with a program at a path, in a directory that has the
// configuration file of the command line, and with further flags. The program ends with the test.
func (s section) run(line, path, file, config string, flags ...string) *server {
	s.t.Helper()
	dir := s.t.TempDir()
	s.replaced(line, file, file) // the command line names the file
	if err := os.WriteFile(filepath.Join(dir, file), []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	words := strings.Fields(line)
	if words[0] != filepath.Base(path) {
		s.t.Fatalf("%s runs %s, want %s", s.name, words[0], filepath.Base(path))
	}
	p := newRun(s.t, path, append(words[1:], flags...)...)
	p.Dir = dir
	started := startProgram(s.t, p)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s%s", path, &p.out, &p.err)
		}
	})
	return started
}

// TestShippingRecords has a collector follow the file of final records while it is renamed, with the
// configuration of docs/shipping.md: each record arrives once.
func TestShippingRecords(t *testing.T) {
	t.Parallel()
	collector := shippers[len(shippers)-1]
	path, err := collector.lookUp()
	if err != nil {
		noCollector(t, err)
	}
	w := newWorld(t)
	w.setAddr(freePort(t))
	records := filepath.Join(t.TempDir(), "records")
	server := w.startServer(w.defaultArgs("--final-records", records))
	part := readDocument(t, "shipping.md").section("### OpenTelemetry Collector for records")
	config := part.replaced(part.block("yaml"), "/var/log/sandmeter/records", records)
	collected := part.run(part.block("sh"), path, "records.yml", config, collector.flags...)

	live := func(id string) {
		w.start(id, "touch", "3")
		w.reaped(w.kill(id))
		w.remove(id)
		w.until(func() error {
			if text, _ := os.ReadFile(records); !strings.Contains(string(text), `"id":"`+id+`"`) {
				return errNot(id + " has a record")
			}
			return nil
		})
	}
	live("first")
	w.must(os.Rename(records, records+".1"))
	server.signal(syscall.SIGHUP)
	w.until(func() error { _, err := os.Stat(records); return err })
	live("second")
	for _, id := range []string{"first", "second"} {
		w.until(func() error {
			if got := strings.Count(collected.err.String()+collected.out.String(), "-> id: Str("+id+")"); got != 1 {
				return fmt.Errorf("the record of %s has arrived %d times", id, got)
			}
			return nil
		})
	}
}
