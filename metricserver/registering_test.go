package metricserver

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// register returns the status and body of the response to a request that registers a sandbox.
func (r *run) register(verb, id string) (int, string) {
	r.Helper()
	form := url.Values{"root": {r.root}, "sandbox": {id}, "timeout": {"0"}}
	response, err := r.client.PostForm(r.url("/runsc-metrics/"+verb), form)
	r.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	r.must(err)
	return response.StatusCode, string(body)
}

// TestRegistering: clients register sandboxes only if that is enabled.
func TestRegistering(t *testing.T) {
	f := func(name string, o Options, found, missing int) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start(simulate.Spec{ID: "sb"})
			o.Addresses = []string{w.path("socket")}
			r := w.run(w.server(o))
			for _, verb := range []string{"register", "unregister"} {
				if status, body := r.register(verb, "sb"); status != found || status == http.StatusOK && !strings.HasPrefix(body, `{"id":"sb",`) {
					t.Errorf("%s: %d %s", verb, status, body)
				}
				if status, body := r.register(verb, "none"); status != missing {
					t.Errorf("%s of no sandbox: %d %s", verb, status, body)
				}
			}
		})
	}
	f("default", Options{}, http.StatusNotFound, http.StatusNotFound)
	f("drop-in", Options{DropIn: true}, http.StatusNotFound, http.StatusNotFound)
	f("enabled", Options{EnableRegistering: true}, http.StatusOK, http.StatusNotFound)
	f("drop-in, enabled", Options{DropIn: true, EnableRegistering: true}, http.StatusOK, http.StatusNotFound)
}
