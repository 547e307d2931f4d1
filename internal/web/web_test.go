package web

import (
	"bytes"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

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
	w := newWorld(t, nil)
	check := func(path, allowed string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "FOO"} {
			response := w.do(httptest.NewRequest(method, path, nil))
			if strings.Contains(", "+allowed+",", ", "+method+",") {
				if response.Code == http.StatusMethodNotAllowed {
					t.Errorf("%s %s: %d", method, path, response.Code)
				}
				continue
			}
			w.expect(response, http.StatusMethodNotAllowed, "method not allowed, use one of: "+allowed+"\n")
			if got := response.Header().Get("Allow"); got != allowed {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, allowed)
			}
		}
	}
	check("/", "GET, HEAD")
	check("/nonexistent", "GET, HEAD")
	check("/metrics", "GET, HEAD")
	check("/metrics%3Fa=b", "GET, HEAD")
	check("/runsc-metrics/pid", "GET, HEAD")
	check("/-/healthy", "GET, HEAD")
	check("/-/ready", "GET, HEAD")
	check("/runsc-metrics/healthcheck", "GET, HEAD, POST")
}

func TestHead(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.MaxAge = time.Hour }) // all pages are of one snapshot
	client, _ := w.serve()
	for _, path := range []string{"/", "/metrics", "/metrics%3Fa=b", "/runsc-metrics/pid", "/runsc-metrics/healthcheck?root=" + servedRoot} {
		get, body := w.fetch(client, httpRequest(t, http.MethodGet, path))
		head, nothing := w.fetch(client, httpRequest(t, http.MethodHead, path))
		if head.Status != get.Status || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") || nothing != "" {
			t.Errorf("HEAD %s: %s %v %q, but GET: %s %v", path, head.Status, head.Header, nothing, get.Status, get.Header)
		}
		if get.ContentLength != int64(len(body)) || head.ContentLength != get.ContentLength {
			t.Errorf("%s: Content-Length of GET is %d, of HEAD %d, and the page has %d bytes", path, get.ContentLength, head.ContentLength, len(body))
		}
	}
}

func httpRequest(t *testing.T, method, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://x"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHealth(t *testing.T) {
	w := newWorld(t, nil)
	const path = "/runsc-metrics/healthcheck"
	const form = "application/x-www-form-urlencoded"
	post := func(target, contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return w.do(r)
	}
	healthy := func(response *httptest.ResponseRecorder) {
		t.Helper()
		w.expect(response, http.StatusOK, "runsc-metrics:OK")
	}
	otherRoot := func(response *httptest.ResponseRecorder) {
		t.Helper()
		w.expect(response, http.StatusBadRequest, "this metric server is configured to serve root directory: /run/runsc\n")
	}
	bad := func(response *httptest.ResponseRecorder, text string) {
		t.Helper()
		w.expect(response, http.StatusBadRequest, text+"\n")
	}

	healthy(w.get(path + "?root=/run/runsc"))
	healthy(w.get(path + "?root=%2Frun%2frunsc&more=1"))
	healthy(post(path, form, "root=/run/runsc"))
	healthy(post(path, form+"; charset=utf-8", "root=%2Frun%2Frunsc&more=1"))
	// The form takes precedence over the query.
	healthy(post(path+"?root=/wrong", form, "root=/run/runsc"))
	healthy(post(path+"?root=/run/runsc", "text/plain", "root=/wrong"))
	healthy(post(path, form, "root=/run/runsc&root=/wrong"))

	otherRoot(w.get(path))
	otherRoot(w.get(path + "?root="))
	otherRoot(w.get(path + "?root=/run/runsc/"))
	otherRoot(w.get(path + "?root=/run"))
	otherRoot(w.get(path + "?root=/RUN/runsc"))
	otherRoot(post(path, form, ""))
	otherRoot(post(path, form, "root=/wrong/root"))
	otherRoot(post(path+"?root=/run/runsc", form, "root=/wrong"))
	otherRoot(post(path, "text/plain", "root=/run/runsc"))
	otherRoot(post(path, "application/json", `{"root":"/run/runsc"}`))
	var parts bytes.Buffer
	m := multipart.NewWriter(&parts)
	w.must(m.WriteField("root", servedRoot))
	w.must(m.Close())
	otherRoot(post(path, m.FormDataContentType(), parts.String()))

	bad(post(path, form, "root=%zz"), `invalid URL escape "%zz"`)
	bad(w.get(path+"?root=%zz"), `invalid URL escape "%zz"`)
	bad(w.get(path+"?a;b"), "invalid semicolon separator in query")
	bad(post(path, "no; type;", "root=/run/runsc"), "mime: invalid media parameter")

	// The size limit of a form: a body at the limit is read, and a longer one is refused.
	atLimit := "root=/run/runsc&more=" + strings.Repeat("x", maxForm)
	healthy(post(path, form, atLimit[:maxForm]))
	bad(post(path, form, atLimit[:maxForm+1]), "http: request body too large")
	endless := &endlessBody{}
	r := httptest.NewRequest(http.MethodPost, path, endless)
	r.Header.Set("Content-Type", form)
	r.ContentLength = 1 << 30
	bad(w.do(r), "http: request body too large")
	if endless.read > 2*maxForm {
		t.Errorf("of a body of 1 GB %d bytes were read", endless.read)
	}

	w.handler.Stop(t.Context())
	for _, path := range []string{path + "?root=/run/runsc", path, "/metrics"} {
		w.expect(w.get(path), http.StatusServiceUnavailable, "server is shutting down\n")
	}
}

// endlessBody is an endless body of one repeated letter.
type endlessBody struct{ read int }

func (b *endlessBody) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	b.read += len(p)
	return len(p), nil
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
	w.handler.Stop(t.Context())
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		w.expect(w.get(path), http.StatusServiceUnavailable, "server is shutting down\n")
	}
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
	const form = "give a path such as /metrics, of letters, digits and . _ ~ -"
	check := func(path, want string) {
		t.Helper()
		got := ""
		if err := CheckMetricsPath(path); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"/metrics", "/a/b-c_d.e~1", "/-", "/-x", "/runsc-metrics2"} {
		want := ""
		if path == "/-" {
			want = "paths below /-/ are reserved"
		}
		check(path, want)
	}
	for _, path := range []string{"", "/", "metrics", "/metrics/", "//metrics", "/a/../b", "/.", "/a b", "/{a}", "/a?b", "/a%20", "/é", "/a\n"} {
		check(path, form)
	}
	check("/-/healthy", "paths below /-/ are reserved")
	check("/runsc-metrics/metrics", "paths below /runsc-metrics/ are reserved")
	check("/runsc-metrics", "paths below /runsc-metrics/ are reserved")
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

func TestClosedHandler(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.Close()
	for _, path := range []string{"/", "/metrics", "/runsc-metrics/healthcheck"} {
		w.expect(w.get(path), http.StatusServiceUnavailable, "server is shutting down\n")
	}
	w.handler.Close()
}
