package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// TestJSONAPI: the documents of real sandboxes are as the OpenAPI description says.
func TestJSONAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pod := runsc.Pod{Sandbox: "pod", Name: "web-1", Namespace: "shop"}
	add := w.pod(pod)
	add("pod", func(*runsc.Container) {})
	add("app", func(*runsc.Container) {})
	w.start("stopped", "idle")
	w.stopSandbox("stopped")
	w.start("killed", "idle")
	w.kill("killed")
	w.startServer(w.serveArgs("--sandbox-timeout", "200ms"))
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
