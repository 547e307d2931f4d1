package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

// command runs the program to its end and returns its output. It fails the test if the program
// writes to standard error.
func (w *world) command(args ...string) string {
	w.t.Helper()
	p := newProgram(w.t, args...)
	p.exit(w.t, 0)
	if said := p.err.String(); said != "" {
		w.t.Errorf("%q says on standard error:\n%s", p.Args, said)
	}
	return p.out.String()
}

// TestClients: the commands that read a server, or sandboxes themselves, and the documents of the JSON API,
// which are as the OpenAPI description says.
func TestClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := w.pod(runsc.Pod{Sandbox: "pod", Name: "a \"pod\"", Namespace: "shop"})
	add("pod", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "10"} })
	add("app", func(*runsc.Container) {})
	w.must(w.node.Create(w.ctx(), w.container("created", "idle")))
	w.start("paused", "idle")
	w.must(w.node.Pause(w.ctx(), "paused"))
	w.start("killed", "idle")
	w.reaped(w.kill("killed")) // before there is a server, which cannot know how it ended
	w.start("stopped", "idle")
	w.startServer(w.serveArgs("--sandbox-timeout", "200ms"))
	for _, id := range []string{"pod", "created", "paused"} {
		w.until(func() error { // values may change between the two
			exported := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, id)))
			if diff := cmp.Diff(w.scrape().of(id), exported.of(id)); diff != "" || len(exported.of(id)) == 0 {
				return errNot("export of " + id + " has the values of the page: " + diff)
			}
			return nil
		})
	}
	// The ID of any container of a pod selects the pod, as in runsc export-metrics.
	one := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, "--filter", "^fs_opens$", "app")))
	if len(one.families) != 1 || len(one.find("runsc_fs_opens", "sandbox", "pod", "pod_name", `a "pod"`, "namespace_name", "shop", "iteration", stateOf(w, "pod").iteration())) != 1 {
		t.Errorf("export app:\n%s", one.raw)
	}

	w.stopSandbox("stopped")
	w.command("health", "--address", w.addr, "--root", w.root)
	w.until(func() error { // some families appear only after a while
		all := parsePage(t, metricclient.MetricData(w.command("get", "--address", w.addr)))
		if diff := cmp.Diff(w.scrape().withoutValues(), all.withoutValues()); diff != "" {
			return errNot("get has the lines of the page: " + diff)
		}
		return nil
	})
	table := w.command("list", "--address", w.addr)
	for _, row := range []string{
		`killed +- +- +unknown +- +1 +\S+ \S+ +not running`,
		`pod +shop +"a \\"pod\\"" +running +\d+ +2 +\S+ \S+ +ok`,
		`stopped +- +- +running +\d+ +1 +\S+ \S+ +failed \(stalled\)`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(table) {
			t.Errorf("no row %s in\n%s", row, table)
		}
	}
	conforms := w.openAPI()
	conforms("/api/v1/sandboxes", http.StatusOK, "List")
	conforms("/api/v1/status", http.StatusOK, "Status")
	for _, id := range []string{"pod", "stopped", "killed"} {
		conforms("/api/v1/sandboxes/"+id, http.StatusOK, "Detail")
	}
	conforms("/api/v1/sandboxes/app", http.StatusNotFound, "Error") // a container is no sandbox
}

// http returns a client of the server on the world's socket.
func (w *world) http() *http.Client {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.addr)
	}}}
	w.t.Cleanup(client.CloseIdleConnections)
	return client
}

// openAPI returns a check that the document at a path is as the description says.
func (w *world) openAPI() func(path string, status int, schema string) {
	w.t.Helper()
	client := w.http()
	get := func(path string) (int, any) {
		w.t.Helper()
		response, err := client.Get("http://localhost" + path)
		w.must(err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		w.must(err)
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		w.must(err)
		return response.StatusCode, document
	}
	_, description := get("/api/v1/openapi.json")
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	w.must(compiler.AddResource("openapi.json", description))
	return func(path string, status int, schema string) {
		w.t.Helper()
		compiled, err := compiler.Compile("openapi.json#/components/schemas/" + schema)
		w.must(err)
		got, document := get(path)
		if err := compiled.Validate(document); err != nil || got != status {
			w.t.Errorf("%s: status %d, want %d; %v\n%v", path, got, status, err, document)
		}
	}
}
