package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// exchange is a request to gVisor's metric server and the recorded response.
type exchange struct {
	name    string
	request *http.Request
	want    answer
}

type answer struct {
	status  string
	headers http.Header // without Date and Content-Length
	body    string
}

// differences lists the responses that differ from the recorded ones on purpose.
var differences = map[string]func(*answer){
	"GET /":    func(a *answer) { a.body = frontPage },
	"DELETE /": notAllowed,
	"GET /runsc-metrics/pid": func(a *answer) {
		a.body = fmt.Sprint(os.Getpid())
	},
	"GET /metrics?runsc-sandbox-metrics-filter=(":   saysWhy("missing closing ): `(`"),
	"GET /metrics?runsc-capability-filter=[":        saysWhy("missing closing ]: `[`"),
	"GET /metrics%3Frunsc-sandbox-metrics-filter=(": saysWhy("missing closing ): `(`"),
	"DELETE /metrics":  notAllowed,
	"POST /metrics":    notAllowed,
	"PUT /metrics":     notAllowed,
	"OPTIONS /metrics": notAllowed,
	"HEAD /metrics": func(a *answer) {
		// Names the format.
		a.headers.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		a.headers.Set("Vary", "Accept, Accept-Encoding")
		a.headers.Del("Transfer-Encoding") // a page is sent only when it is complete
	},
}

// saysWhy adds the reason to the response for a refused filter.
func saysWhy(why string) func(*answer) {
	return func(a *answer) { a.body = strings.TrimSuffix(a.body, "\n") + ": error parsing regexp: " + why + "\n" }
}

func notAllowed(a *answer) {
	a.status = "405 Method Not Allowed"
	a.headers = http.Header{"Allow": {"GET, HEAD"}, "Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}
	a.body = "method not allowed, use one of: GET, HEAD\n"
}

const frontPage = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Sandmeter</title></head>
<body>
<h1>Sandmeter 1.2.3</h1>
<p>The metric server for gVisor sandboxes, serving runtime root <code>/run/runsc</code>.</p>
<ul>
<li><a href="metrics">/metrics</a>: the metrics of all sandboxes, for Prometheus</li>
<li><a href="metrics?runsc-sandbox-metrics-filter=^fs_">/metrics?runsc-sandbox-metrics-filter=^fs_</a>: those whose names match a regular expression</li>
<li><a href="metrics?runsc-capability-filter=NET">/metrics?runsc-capability-filter=NET</a>: capabilities that match one</li>
<li><a href="-/healthy">/-/healthy</a>: whether the server runs</li>
<li><a href="-/ready">/-/ready</a>: whether it has read the runtime root</li>
</ul>
<p><a href="https://github.com/sandmeter/sandmeter">Documentation</a></p>
</body>
</html>
`

func TestAnswersAreTheRecordedOnes(t *testing.T) {
	w := newWorld(t, nil)
	client, _ := w.serve()
	unused := len(differences)
	for _, x := range append(recordedEndpoints(t), recordedMethods(t)...) {
		if differ := differences[x.name]; differ != nil {
			differ(&x.want)
			unused--
		}
		response, body := w.fetch(client, x.request)
		if want := fmt.Sprint(len(body)); x.request.Method != http.MethodHead && response.Header.Get("Content-Length") != want {
			t.Errorf("%s: Content-Length is %s, want %s", x.name, response.Header.Get("Content-Length"), want)
		}
		response.Header.Del("Date")
		response.Header.Del("Content-Length")
		got := answer{response.Status, response.Header, body}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", x.want) {
			t.Errorf("%s:\n got %q\nwant %q", x.name, got, x.want)
		}
	}
	if unused != 0 {
		t.Errorf("%d differences are from no recorded answer", unused)
	}
}

// recordedEndpoints parses the recorded curl session.
func recordedEndpoints(t *testing.T) []exchange {
	t.Helper()
	var all []exchange
	for _, text := range strings.Split(string(testkit.Testdata(t, "http_endpoints.txt")), "##### curl -g -s -i --unix-socket SOCK ")[1:] {
		command, rest, _ := strings.Cut(text, "\n")
		head, body, _ := strings.Cut(rest, "\r\n\r\n")
		x := exchange{request: curlRequest(t, command), want: readHead(t, head)}
		x.want.body = strings.TrimSuffix(body, "\n[curl rc=0]\n")
		x.name = strings.Replace(command, "http://x", "", 1)
		if !strings.HasPrefix(x.name, "-") {
			x.name = "GET " + x.name
		}
		x.name = strings.TrimPrefix(x.name, "-X ")
		all = append(all, x)
	}
	return all
}

// curlRequest returns the request that a curl command sends.
func curlRequest(t *testing.T, command string) *http.Request {
	t.Helper()
	method, form, contentType := http.MethodGet, "", "application/x-www-form-urlencoded"
	command, target, _ := strings.Cut(command, "http://x")
	for args := command; args != ""; {
		flag, rest, _ := strings.Cut(args, " ")
		var value string
		switch flag {
		case "-I":
			method = http.MethodHead
		case "-X":
			method, rest, _ = strings.Cut(rest, " ")
		case "-d":
			form, rest, _ = strings.Cut(rest, " ")
		case "-H":
			value, rest, _ = strings.Cut(strings.TrimPrefix(rest, "Content-Type: "), " ")
			contentType = value
		default:
			t.Fatalf("curl has an argument %s", flag)
		}
		args = rest
	}
	r, err := http.NewRequest(method, "http://x"+target, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// recordedMethods parses the recorded responses to methods that scrapers do not usually use.
func recordedMethods(t *testing.T) []exchange {
	t.Helper()
	var all []exchange
	for _, text := range strings.Split(string(testkit.Testdata(t, "http_methods.txt")), "== ")[1:] {
		name, head, _ := strings.Cut(text, "\n")
		method, path, _ := strings.Cut(name, " ")
		r, err := http.NewRequest(method, "http://x"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, exchange{name, r, readHead(t, strings.TrimRight(head, "\r\n"))})
	}
	return all
}

// readHead parses the head of a response. It drops lengths, because the paths in the recording were
// shortened.
func readHead(t *testing.T, text string) answer {
	t.Helper()
	lines := strings.Split(text, "\r\n")
	a := answer{status: strings.TrimPrefix(lines[0], "HTTP/1.1 "), headers: make(http.Header)}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ": ")
		if !found {
			t.Fatalf("recorded header %q", line)
		}
		if name != "Date" && name != "Content-Length" {
			a.headers.Add(name, value)
		}
	}
	return a
}

func TestMethods(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.Register = answering(registered(), nil) })
	check := func(allowed string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "OPTIONS", "CONNECT", "get"} {
				response := w.do(httptest.NewRequest(method, path, nil))
				refused := response.Code == http.StatusMethodNotAllowed && response.Header().Get("Allow") == allowed
				if allows := strings.Contains(", "+allowed+",", ", "+method+","); refused == allows {
					t.Errorf("%s %s: %d %v", method, path, response.Code, response.Header())
				}
			}
		}
	}
	check("GET, HEAD", "/", "/nonexistent", "/metrics", "/metrics%3Fa=b", pathPID, pathHealthy, pathReady)
	check("GET, HEAD, POST", pathHealth, pathUnregister) // nobody can unregister here
	check("POST", pathRegister)
}

func TestHealth(t *testing.T) {
	w := newWorld(t, nil)
	const form = "application/x-www-form-urlencoded"
	get := func(query string) *httptest.ResponseRecorder { return w.get(pathHealth + query) }
	post := func(query, contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, pathHealth+query, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return w.do(r)
	}
	expect := func(status int, body string, responses ...*httptest.ResponseRecorder) {
		t.Helper()
		for _, response := range responses {
			w.expect(response, status, body)
		}
	}
	// A body at the limit is read, and a longer one is refused.
	atLimit := "root=/run/runsc&more=" + strings.Repeat("x", maxForm)
	expect(http.StatusOK, "runsc-metrics:OK", get("?root=/run/runsc"), get("?root=%2Frun%2frunsc&more=1"), post("", form, atLimit[:maxForm]),
		post("", form+"; charset=utf-8", "root=%2Frun%2Frunsc&more=1"), post("?root=/run/runsc", "text/plain", "root=/wrong"),
		post("?root=/wrong", form, "root=/run/runsc")) // the form takes precedence over the query
	expect(http.StatusBadRequest, "this metric server is configured to serve root directory: /run/runsc\n", get(""), get("?root="), get("?root=/run/runsc/"),
		get("?root=/run"), post("", form, ""), post("?root=/run/runsc", form, "root=/wrong"), post("", "application/json", `{"root":"/run/runsc"}`))
	expect(http.StatusBadRequest, "invalid URL escape \"%zz\"\n", post("", form, "root=%zz"), get("?root=%zz"))
	expect(http.StatusBadRequest, "http: request body too large\n", post("", form, atLimit[:maxForm+1]))

	w.handler.Close()
	expect(http.StatusServiceUnavailable, "server is shutting down\n", get("?root=/run/runsc"), w.get("/"), w.get("/metrics"))
	w.handler.Close()
}

// TestFrontPageEscapes checks that the front page escapes the root, which may have any name.
func TestFrontPageEscapes(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.options.Roots = func() []string { return []string{`/<script>&"`} }
	w.handler.options.Version = "<v>"
	if got := w.page("/"); !strings.Contains(got, "<code>/&lt;script&gt;&amp;&#34;</code>") || !strings.Contains(got, "&lt;v&gt;") {
		t.Errorf("the page is\n%s", got)
	}
}

// TestProbes checks that probes do not depend on a runtime root and that a server says why it is not
// ready.
func TestProbes(t *testing.T) {
	w := newWorld(t, nil)
	notReady := errors.New("why not")
	w.handler.options.Ready = func() error { return notReady }
	w.expect(w.get("/-/healthy"), http.StatusOK, "Sandmeter is healthy.\n")
	w.expect(w.get("/-/ready"), http.StatusServiceUnavailable, "why not\n")
	notReady = nil
	w.expect(w.get("/-/ready"), http.StatusOK, "Sandmeter is ready.\n")
}

// TestMetricsPath checks that the metrics are only at their path and that the front page links to
// it.
func TestMetricsPath(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.MetricsPath = "/node/sandboxes" })
	for _, path := range []string{"/node/sandboxes", "/node/sandboxes%3Fa=b"} {
		if page := w.page(path); !strings.Contains(page, "runsc_meta_num_sandboxes_running 0 ") {
			t.Errorf("%s is\n%s", path, page)
		}
	}
	w.expect(w.get("/metrics"), http.StatusNotFound, "path not found\n")
	if page := w.page("/"); !strings.Contains(page, `<a href="node/sandboxes">/node/sandboxes</a>`) {
		t.Errorf("the front page is\n%s", page)
	}
}

func TestCheckMetricsPath(t *testing.T) {
	check := func(want string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			got := ""
			if err := CheckMetricsPath(path); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%q: %q, want %q", path, got, want)
			}
		}
	}
	check("", "/metrics", "/a/b-c_d.e~1", "/-x", "/runsc-metrics2")
	check("give a path such as /metrics, of letters, digits and . _ ~ -",
		"", "/", "metrics", "/metrics/", "//metrics", "/a/../b", "/.", "/a b", "/{a}", "/a?b", "/a%20", "/é", "/a\n")
	check("paths below /-/ are reserved", "/-", "/-/healthy")
	check("paths below /runsc-metrics/ are reserved", "/runsc-metrics/metrics", "/runsc-metrics")
}

func TestPanicInAHandler(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.handle("/panics", func(http.ResponseWriter, *http.Request) error { panic("a secret defect") })
	w.expect(w.get("/panics"), http.StatusInternalServerError, "the request failed; see the server's log\n")
	if log := w.log.String(); !strings.Contains(log, "a secret defect") || !strings.Contains(log, "path=/panics") || strings.Count(log, "\n") != 1 {
		t.Errorf("the log says\n%s", log)
	}
	w.page("/metrics")
}
