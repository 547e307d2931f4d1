package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// inRegistering runs a test in a bubble. do registers and unregisters; without it, the handler
// does neither.
func inRegistering(t *testing.T, do Registering, test func(b *bubble)) {
	t.Helper()
	inBubble(t, test, func(o *Options) {
		o.Register, o.Unregister = do, do
		o.Roots = func() []string { return []string{servedRoot, "/run/spelled/"} }
	})
}

// values are the form of a request that is accepted, with changes.
func values(changes ...string) url.Values {
	form := url.Values{"root": {servedRoot}, "sandbox": {"a"}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// post returns a request with a form.
func post(ctx context.Context, path string, form url.Values) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// expect checks the response for a form on both paths.
func (b *bubble) expect(form url.Values, status int, body string) {
	b.Helper()
	for _, path := range []string{pathRegister, pathUnregister} {
		response := b.do(post(b.Context(), path, form))
		if response.Code != status || strings.TrimSuffix(response.Body.String(), "\n") != body {
			b.Errorf("%s with %v: %d %s\nwant %d %s", path, form, response.Code, response.Body, status, body)
		}
	}
}

// absent is a Registering that waits in vain.
func absent(ctx context.Context, _, _ string) (snapshot.Registered, error) {
	<-ctx.Done()
	return snapshot.Registered{}, snapshot.ErrNoSandbox
}

// answering is a Registering with this result.
func answering(r snapshot.Registered, err error) Registering {
	return func(context.Context, string, string) (snapshot.Registered, error) { return r, err }
}

func registered() snapshot.Registered {
	return snapshot.Registered{Sampled: true, Sandbox: snapshot.Sandbox{Phase: snapshot.Running, Identity: &snapshot.Identity{
		Labels: &snapshot.Labels{Iteration: "17", Sandbox: "a"}, Root: servedRoot, CreatedAt: time.Unix(1e9, 0), PID: 42, Status: "running"}}}
}

// TestRegisterStatuses has each result of the function, and what the client gets.
func TestRegisterStatuses(t *testing.T) {
	f := func(name string, err error, status int, body string) {
		t.Run(name, func(t *testing.T) {
			inRegistering(t, answering(snapshot.Registered{}, err), func(b *bubble) { b.expect(values(), status, body) })
		})
	}
	f("absent", fmt.Errorf("x: %w", snapshot.ErrNoSandbox), 404, `{"error":"runtime root /run/runsc has no sandbox \"a\"","reason":null}`)
	f("refused", fmt.Errorf("x: %w", failure.Newf(failure.TextsRefused, "y")), 422, `{"error":"y","reason":"texts_refused"}`)
	f("root not served", snapshot.ErrNoRoot, 400, "this metric server is configured to serve root directory: /run/runsc, /run/spelled/")
	f("no time", context.DeadlineExceeded, 503, "the timeout ended before the server could look for the sandbox; try again")
	f("any error", errors.New("secret"), 500, "the request failed; see the server's log")
}

func TestRegisterSucceeds(t *testing.T) {
	inRegistering(t, answering(registered(), nil), func(b *bubble) {
		response := b.do(post(b.Context(), pathRegister, values()))
		var d api.Registered
		if err := json.Unmarshal(response.Body.Bytes(), &d); err != nil || response.Code != http.StatusOK || response.Header().Get("Content-Type") != "application/json" ||
			d.ID != "a" || d.RuntimeRoot != servedRoot || d.Iteration != "17" || *d.PID != 42 || !d.Sampled {
			b.Errorf("%d %v %s: %v", response.Code, response.Header(), response.Body, err)
		}
	})
}

// TestRegisterRequests: values that are refused without a call, and the call for others.
func TestRegisterRequests(t *testing.T) {
	type call struct {
		root, id string
		timeout  time.Duration
	}
	var calls []call
	do := func(ctx context.Context, root, id string) (snapshot.Registered, error) {
		deadline, _ := ctx.Deadline()
		calls = append(calls, call{root, id, time.Until(deadline)})
		return registered(), nil
	}
	inRegistering(t, do, func(b *bubble) {
		bad := func(form url.Values, body string) {
			b.Helper()
			b.expect(form, http.StatusBadRequest, body)
			if calls != nil {
				b.Errorf("with %v, calls are %v", form, calls)
				calls = nil
			}
		}
		const noRoot, noID = "give the path of a runtime root once, as the form value root", "give the ID of a sandbox once, as the form value sandbox"
		bad(url.Values{}, noRoot)
		bad(values("root", ""), noRoot)
		bad(url.Values{"root": {servedRoot}}, noID)
		bad(values("sandbox", ""), noID)
		bad(url.Values{"root": {servedRoot}, "sandbox": {"a", "b"}}, noID)
		bad(url.Values{"root": {servedRoot, servedRoot}, "sandbox": {"a"}}, noRoot)
		for _, text := range []string{"-1", "NaN", "10s", "x", " 1"} {
			bad(values("timeout", text), fmt.Sprintf("provided timeout %q is refused: give a number of seconds, such as 10 or 0.5", text))
		}
		bad(values("sandbox", strings.Repeat("a", maxForm)), "http: request body too large")

		called := func(form url.Values, want call) {
			b.Helper()
			for _, r := range []*http.Request{
				post(b.Context(), pathRegister, form),
				post(b.Context(), pathUnregister, form),
				httptest.NewRequest(http.MethodPost, pathRegister+"?"+form.Encode(), nil),
			} {
				calls = nil
				if response := b.do(r); response.Code != http.StatusOK || len(calls) != 1 || calls[0] != want {
					b.Errorf("%v: %d %s, calls are %v, want %v", form, response.Code, response.Body, calls, want)
				}
			}
		}
		called(values(), call{servedRoot, "a", 10 * time.Second})
		called(values("timeout", "0"), call{servedRoot, "a", 0})
		called(values("timeout", "0.25"), call{servedRoot, "a", 250 * time.Millisecond})
		called(values("timeout", "60"), call{servedRoot, "a", time.Minute})
		called(values("timeout", "1e300"), call{servedRoot, "a", time.Minute})
		called(values("timeout", "Inf"), call{servedRoot, "a", time.Minute})
		called(values("root", servedRoot+"/"), call{servedRoot, "a", 10 * time.Second})
		called(values("root", "/run/spelled"), call{"/run/spelled/", "a", 10 * time.Second})
		called(values("root", "/other/"), call{"/other/", "a", 10 * time.Second}) // may be served a moment later
	})
}

func TestRegisterDisabled(t *testing.T) {
	inRegistering(t, nil, func(b *bubble) {
		b.expect(values(), http.StatusNotFound, "this server does not let clients register sandboxes; start it with --web.enable-registration or SANDMETER_WEB_ENABLE_REGISTRATION=true")
	})
}

// TestRegisterFromWebPages: a page of another origin can send a form, and must not hide a sandbox
// with it.
func TestRegisterFromWebPages(t *testing.T) {
	calls := 0
	do := func(context.Context, string, string) (snapshot.Registered, error) {
		calls++
		return registered(), nil
	}
	inRegistering(t, do, func(b *bubble) {
		f := func(accepted bool, headers ...string) {
			b.Helper()
			r := post(b.Context(), pathUnregister, values())
			r.Host = "localhost:19640"
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Set(name, value)
			}
			want, wantCalls := http.StatusForbidden, 0
			if accepted {
				want, wantCalls = http.StatusOK, 1
			}
			calls = 0
			if response := b.do(r); response.Code != want || calls != wantCalls {
				b.Errorf("with %q: %d %s, and %d calls", headers, response.Code, response.Body, calls)
			}
		}
		f(true)
		f(true, "Sec-Fetch-Site: same-origin")
		f(true, "Sec-Fetch-Site: none")
		f(true, "Origin: http://localhost:19640")
		f(false, "Sec-Fetch-Site: cross-site")
		f(false, "Sec-Fetch-Site: same-site") // another port of this machine
		f(false, "Sec-Fetch-Site: cross-site", "Origin: http://localhost:19640")
		f(false, "Origin: http://evil.example")
		f(false, "Origin: http://localhost:8080")
		f(false, "Origin: null")
		if n := strings.Count(b.log.String(), "Request refused: a web page of another origin sent it"); n != 1 {
			b.Errorf("%d lines in the log:\n%s", n, b.log.String())
		}
	})
}

// TestRegisterWaits: the number of requests that wait is bounded, for each path.
func TestRegisterWaits(t *testing.T) {
	inRegistering(t, absent, func(b *bubble) {
		most := waitsOf(MaxConnections())
		ctx, cancel := context.WithCancel(b.Context())
		one, cancelOne := context.WithCancel(b.Context())
		ended := make(chan int, most)
		wait := func(ctx context.Context) {
			go func() { ended <- b.do(post(ctx, pathRegister, values("timeout", "60"))).Code }()
		}
		wait(one)
		for range most - 1 {
			wait(ctx)
		}
		synctest.Wait()
		next := func(path string, want int) {
			b.Helper()
			if response := b.do(post(b.Context(), path, values("timeout", "0"))); response.Code != want {
				b.Errorf("%s: %d %s, want %d", path, response.Code, response.Body, want)
			} else if want == http.StatusTooManyRequests && response.Header().Get("Retry-After") != "1" {
				b.Errorf("%s: %v", path, response.Header())
			}
		}
		next(pathRegister, http.StatusTooManyRequests)
		next(pathUnregister, http.StatusNotFound) // has waits of its own
		cancelOne()
		if code := <-ended; code != http.StatusServiceUnavailable {
			b.Errorf("the client that left gets %d", code)
		}
		next(pathRegister, http.StatusNotFound)
		cancel()
		for range most - 1 {
			<-ended
		}
		next(pathRegister, http.StatusNotFound)
	})
}

// TestStopEndsWaits: stopping does not take until the timeouts of requests that wait.
func TestStopEndsWaits(t *testing.T) {
	inRegistering(t, absent, func(b *bubble) {
		ended := make(chan *httptest.ResponseRecorder)
		go func() { ended <- b.do(post(b.Context(), pathRegister, values("timeout", "60"))) }()
		synctest.Wait()
		began := time.Now()
		go b.handler.Stop(b.Context())
		if response := <-ended; response.Code != http.StatusServiceUnavailable || response.Body.String() != shuttingDown+"\n" {
			b.Errorf("the request ends with %d %s", response.Code, response.Body)
		}
		b.handler.Close()
		if took := time.Since(began); took != 0 {
			b.Errorf("stopping takes %v", took)
		}
		b.expect(values(), http.StatusServiceUnavailable, shuttingDown)
	})
}

// pipes is a listener for connections in a bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil } // the server calls it once
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestRegisterOverConnections: a wait ends when the client disconnects, and not with the read timeout
// of the server.
func TestRegisterOverConnections(t *testing.T) {
	var waited chan time.Duration // of the bubble, so that a wait that does not end is a failure at once
	do := func(ctx context.Context, _, _ string) (snapshot.Registered, error) {
		began := time.Now()
		<-ctx.Done()
		waited <- time.Since(began)
		return snapshot.Registered{}, snapshot.ErrNoSandbox
	}
	inRegistering(t, do, func(b *bubble) {
		waited = make(chan time.Duration, 1)
		listener := make(pipes)
		server := &http.Server{Handler: b.handler, ReadTimeout: 15 * time.Second, WriteTimeout: 90 * time.Second}
		served := make(chan error)
		go func() { served <- server.Serve(listener) }()
		client, conn := net.Pipe()
		listener <- conn
		if err := post(b.Context(), "http://x"+pathRegister, values("timeout", "60")).Write(client); err != nil {
			b.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		client.Close()
		if got := <-waited; got != 30*time.Second {
			b.Errorf("the wait of a client that left took %v", got)
		}
		server.Close()
		<-served
	})
}
