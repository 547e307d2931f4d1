package metricclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const registeredDocument = `{"id":"a","iteration":"17","runtime_root":"/run/runsc/","pod":"web","namespace":null,` +
	`"created_at":"2026-11-22T09:12:52Z","pid":42,"state":"running","later":[],"sampled":true}` + "\n"

var registeredSandbox = RegisteredSandbox{ID: "a", Iteration: "17", RuntimeRoot: "/run/runsc/", Pod: "web", PID: 42, Sampled: true,
	CreatedAt: time.Date(2026, 11, 22, 9, 12, 52, 0, time.UTC)}

// registerMethods are both methods, by path.
var registerMethods = map[string]func(*MetricClient, context.Context, string) (RegisteredSandbox, error){
	registerPath:   (*MetricClient).RegisterSandbox,
	unregisterPath: (*MetricClient).UnregisterSandbox,
}

func TestRegisterSandbox(t *testing.T) {
	for path, call := range registerMethods {
		f := func(name, document string, want RegisteredSandbox) {
			t.Run(strings.TrimPrefix(path, "/runsc-metrics/")+" "+name, func(t *testing.T) {
				c := serving(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || r.RequestURI != path || r.PostFormValue("root") != testRoot || r.PostFormValue("sandbox") != "a" {
						t.Errorf("asked with %s %s and %v", r.Method, r.RequestURI, r.PostForm)
					}
					io.WriteString(w, document)
				})
				if got, err := call(c, t.Context(), "a"); got != want || err != nil {
					t.Errorf("got %+v and error %v, want %+v", got, err, want)
				}
			})
		}
		f("sampled", registeredDocument, registeredSandbox)
		f("the least", `{"id":"a","pid":null,"sampled":false}`, RegisteredSandbox{ID: "a"})
	}
}

// TestRegisterSandboxFails has each response that is final for both methods.
func TestRegisterSandboxFails(t *testing.T) {
	kinds := []error{ErrNoSandbox, ErrNoRegistering, ErrNotListening, ErrNotMetricServer, ErrShuttingDown, ErrUnauthorized, ErrTLS}
	f := func(name string, is error, reply string, texts ...string) {
		for path, call := range registerMethods {
			verb := strings.TrimPrefix(path, "/runsc-metrics/")
			t.Run(verb+" "+name, func(t *testing.T) {
				c := listening(t, saying(strings.ReplaceAll(reply, "\n", "\r\n")))
				s, err := call(c, t.Context(), "a\x1b")
				wantError(t, err, is, append(texts, verb+` sandbox a\x1b with the metric server at `+c.addr+": ")...)
				for _, other := range kinds {
					if other != is && errors.Is(err, other) {
						t.Errorf("it is also %q: %v", other, err)
					}
				}
				if s != (RegisteredSandbox{}) {
					t.Errorf("got %+v with the error", s)
				}
			})
		}
	}
	f("disabled", ErrNoRegistering, "HTTP/1.1 404 Not Found\n\nstart it with --web.enable-registration\n", "start it with --web.enable-registration")
	f("gVisor's server", ErrNoRegistering, "HTTP/1.1 405 Method Not Allowed\n\n", "--web.enable-registration", "SANDMETER_WEB_ENABLE_REGISTRATION=true")
	f("404 without a reason", ErrNoRegistering, "HTTP/1.1 404 Not Found\n\n{}")
	f("stopping", ErrShuttingDown, "HTTP/1.1 503 Service Unavailable\n\nserver is shutting down\n")
	f("password", ErrUnauthorized, "HTTP/1.1 401 Unauthorized\n\n")
	f("plain HTTP", ErrTLS, "HTTP/1.1 400 Bad Request\n\n"+plainOnTLS)
	f("bad request", nil, "HTTP/1.1 400 Bad Request\n\nno\x1b\n", `400 Bad Request: no\x1b`)
	f("422 without a reason", nil, "HTTP/1.1 422 Unprocessable Entity\n\nx", "422 Unprocessable Entity: x")
	f("another ID", ErrNotMetricServer, "HTTP/1.1 200 OK\n\n"+registeredDocument)
	f("too long", nil, "HTTP/1.1 200 OK\nContent-Length: 4194305\n\n", "4194305 bytes, the limit is 4194304")
}

// TestRegisterSandboxRefused: callers can branch on the reason.
func TestRegisterSandboxRefused(t *testing.T) {
	for _, call := range registerMethods {
		c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, `{"error":"counter \u001b[31m\ndecreased","reason":"reply_refused"}`)
		})
		_, err := call(c, t.Context(), "a")
		wantError(t, err, nil, `the server refuses the sandbox (reply_refused): counter \x1b[31m`)
		if refused, ok := errors.AsType[*RefusedError](err); !ok || *refused != (RefusedError{"reply_refused", `counter \x1b[31m`}) {
			t.Errorf("the refusal is %+v", refused)
		}
		c = serving(t, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, otherRoot+"/one, /two", http.StatusBadRequest)
		})
		_, err = call(c, t.Context(), "a")
		if wrong, ok := errors.AsType[*WrongRootError](err); !ok || *wrong != (WrongRootError{testRoot, "/one, /two"}) {
			t.Errorf("of another root, the error is %v", err)
		}
	}
}

// handlerTransport is a RoundTripper without a connection, for a fake clock.
type handlerTransport http.HandlerFunc

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response := httptest.NewRecorder()
	h(response, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return response.Result(), nil
}

// registerServer is a server that waits as real ones do, with a fake clock.
type registerServer struct {
	t        *testing.T
	longest  time.Duration // wait
	appears  time.Time     // zero: never
	busy     int           // requests that are refused first
	hangs    bool
	timeouts []string // of the requests
}

func (s *registerServer) serve(w http.ResponseWriter, r *http.Request) {
	timeout := r.PostFormValue("timeout")
	s.timeouts = append(s.timeouts, timeout)
	switch {
	case s.hangs:
		<-r.Context().Done()
		return
	case len(s.timeouts) <= s.busy:
		http.Error(w, "64 requests are waiting already; try again", http.StatusTooManyRequests)
		return
	}
	seconds, err := strconv.ParseFloat(timeout, 64)
	if err != nil {
		s.t.Errorf("timeout %q", timeout)
	}
	wait := min(s.longest, time.Duration(seconds*float64(time.Second)))
	if r.URL.Path == unregisterPath {
		wait = 0
	}
	if left := time.Until(s.appears); !s.appears.IsZero() && left <= wait {
		pause(r.Context(), left)
		io.WriteString(w, registeredDocument)
		return
	}
	pause(r.Context(), wait)
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, `{"error":"runtime root /run/runsc has no sandbox \"a\"","reason":null}`)
}

// pause waits until ctx ends, or for some time.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// inTime runs a test with a fake clock, with a client of s.
func inTime(t *testing.T, s *registerServer, test func(c *MetricClient)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.t = t
		if s.longest == 0 {
			s.longest = time.Minute
		}
		test(NewMetricClientWithOptions("localhost:1", testRoot, WithRoundTripper(func(DialContext) http.RoundTripper { return handlerTransport(s.serve) })))
	})
}

// TestRegisterSandboxWaits has how long RegisterSandbox waits, and the requests that it sends.
func TestRegisterSandboxWaits(t *testing.T) {
	type result struct {
		err      error // nil: success
		took     time.Duration
		timeouts string
	}
	f := func(name string, s *registerServer, deadline, appears time.Duration, want result) {
		t.Run(name, func(t *testing.T) {
			inTime(t, s, func(c *MetricClient) {
				ctx, began := context.Background(), time.Now()
				if deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, deadline)
					defer cancel()
				}
				if appears > 0 {
					s.appears = began.Add(appears)
				}
				_, err := c.RegisterSandbox(ctx, "a")
				if !errors.Is(err, want.err) || errors.Is(err, ErrNoSandbox) != (want.err == ErrNoSandbox) {
					t.Errorf("error %v, want %v", err, want.err)
				}
				if got := (result{want.err, time.Since(began), strings.Join(s.timeouts, " ")}); got != want {
					t.Errorf("it took %v with timeouts %s, want %v and %s", got.took, got.timeouts, want.took, want.timeouts)
				}
			})
		})
	}
	const s = time.Second
	absent, late := ErrNoSandbox, context.DeadlineExceeded

	f("appears", &registerServer{}, 10*s, 3*s, result{nil, 3 * s, "9.500"})
	f("little time", &registerServer{}, 400*time.Millisecond, 0, result{absent, 200 * time.Millisecond, "0.200"})
	f("no deadline", &registerServer{}, 0, 100*s, result{nil, 100 * s, "60.000 60.000"})
	f("late deadline", &registerServer{}, 90*s, 0, result{absent, 89500 * time.Millisecond, "60.000 29.250"})
	f("a server with a shorter limit", &registerServer{longest: 4 * s}, 10*s, 9*s, result{nil, 9 * s, "9.500 5.250 1.000"})
	f("a server that does not wait", &registerServer{longest: 1}, s, 0, result{absent, 500*time.Millisecond + 3, "0.500 0.375 0.250"})
	f("busy at first", &registerServer{busy: 2}, 10*s, 3*s, result{nil, 3 * s, "9.500 9.250 9.000"})
	f("busy to the end", &registerServer{busy: 99}, s, 0, result{errBusy, 500 * time.Millisecond, "0.500 0.375 0.250"})
	f("no response, no deadline", &registerServer{hangs: true}, 0, 0, result{late, 70 * s, "60.000"})
}

// TestRegisterSandboxCanceled: what the server said before is a part of the error.
func TestRegisterSandboxCanceled(t *testing.T) {
	inTime(t, &registerServer{longest: 10 * time.Second}, func(c *MetricClient) {
		f := func(after time.Duration, is ...error) {
			t.Helper()
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(after, cancel)
			began := time.Now()
			_, err := c.RegisterSandbox(ctx, "a")
			for _, target := range append(is, context.Canceled) {
				wantError(t, err, target)
			}
			if took := time.Since(began); took != after {
				t.Errorf("canceled after %v, it took %v", after, took)
			}
		}
		f(5 * time.Second)
		f(10*time.Second+repeatPause/2, ErrNoSandbox) // in a pause
		f(15*time.Second, ErrNoSandbox)               // in the second request
	})
}

// TestUnregisterSandboxDoesNotWait: what is not there now is an error at once, and only a busy server
// is asked again.
func TestUnregisterSandboxDoesNotWait(t *testing.T) {
	f := func(s *registerServer, is error, took time.Duration, requests int) {
		t.Helper()
		inTime(t, s, func(c *MetricClient) {
			began := time.Now()
			_, err := c.UnregisterSandbox(context.Background(), "a")
			wantError(t, err, is)
			if got := time.Since(began); got != took || len(s.timeouts) != requests || s.timeouts[0] != "9.500" {
				t.Errorf("it took %v and %q, want %v and %d requests", got, s.timeouts, took, requests)
			}
		})
	}
	f(&registerServer{}, ErrNoSandbox, 0, 1)
	f(&registerServer{busy: 2}, ErrNoSandbox, 500*time.Millisecond, 3)
	f(&registerServer{busy: 999}, errBusy, 9500*time.Millisecond, 39)
	f(&registerServer{hangs: true}, context.DeadlineExceeded, 10*time.Second, 1)
}
