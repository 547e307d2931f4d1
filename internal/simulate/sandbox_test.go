package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// captured returns a file that a real sandbox wrote or sent.
func captured(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustStart(t *testing.T, root string, spec Spec) *Sandbox {
	t.Helper()
	s, err := Start(root, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Remove() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask sends a request on a new connection and returns the reply, or the data before the connection
// closed.
func ask(t testing.TB, socket, request string) []byte {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	var reply json.RawMessage
	if err := json.NewDecoder(c).Decode(&reply); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return reply
}

// normal returns the reply to an Export with its points sorted, one per line, and without its time.
func normal(t *testing.T, reply []byte) string {
	t.Helper()
	var points []string
	for _, p := range export(t, reply).Data {
		points = append(points, string(p))
	}
	frame := regexp.MustCompile(`"when":"[^"]+"`).ReplaceAllString(string(reply), `"when":""`)
	for _, p := range points {
		frame = strings.Replace(frame, p, "", 1)
	}
	slices.Sort(points)
	return frame + "\n" + strings.Join(points, "\n")
}

type snapshot struct {
	When time.Time
	Data []json.RawMessage
}

// export decodes the reply to an Export.
func export(t testing.TB, reply []byte) snapshot {
	t.Helper()
	var r struct{ Result struct{ Snapshot snapshot } }
	if err := json.Unmarshal(reply, &r); err != nil {
		t.Fatalf("%v in %q", err, reply)
	}
	return r.Result.Snapshot
}

func TestStateFileIsTheCapturedOne(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		must(t, err)
		return v
	}
	for _, spec := range []Spec{
		{
			ID: "sb-plain", PID: 16113, StartTime: at("2026-11-22T09:12:52.739706784Z"),
			Root: Container{Bundle: "/var/bundles/plain", GoferPID: 16112, CreatedAt: at("2026-11-22T09:12:52.743744391Z")},
		},
		{
			ID: "sb-busy", PID: 16182, StartTime: at("2026-11-22T09:12:52.835706788Z"),
			Root: Container{
				Bundle: "/var/bundles/busy", GoferPID: 16178, CreatedAt: at("2026-11-22T09:12:52.839699344Z"),
				Args: []string{"sh", "-c", "while true; do ls / >/dev/null; done"},
			},
		},
		{
			ID: "sb-k8s", PID: 16146, StartTime: at("2026-11-22T09:12:52.795706786Z"),
			Pod: "nginx-7d8b49557c-abcde", Namespace: "prod-ns",
			Root: Container{Bundle: "/var/bundles/k8s", GoferPID: 16145, CreatedAt: at("2026-11-22T09:12:52.799344464Z")},
		},
	} {
		t.Run(spec.ID, func(t *testing.T) {
			root := t.TempDir()
			s := mustStart(t, root, spec)
			got, err := os.ReadFile(filepath.Join(root, spec.ID+"_sandbox:"+spec.ID+".state"))
			must(t, err)
			got = bytes.ReplaceAll(got, []byte(root), []byte("/run/runsc"))
			// The captured files do not include the registration, so the real one is used.
			want := bytes.Replace(captured(t, spec.ID+".state"), []byte(`"registeredMetrics":null`),
				append([]byte(`"registeredMetrics":`), realRegistration...), 1)
			if !bytes.Equal(got, want) {
				t.Errorf("state file:\n%.2500s\nwant:\n%.2500s", got, want)
			}
			if _, err := os.Stat(s.LockPath("")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRepliesAreTheCapturedOnes(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a"})
	for _, name := range []string{
		"export_all", "export_fs", "export_none_match", "export_badregex", "null_arg", "unknown_method", "wrong_arg_type",
	} {
		t.Run(name, func(t *testing.T) {
			got := normal(t, ask(t, s.SocketPath(), string(captured(t, name+".request.bin"))))
			want := normal(t, captured(t, name+".response.bin"))
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestOneConnectionTakesManyRequests(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a", SavedAtRestore: Savings{CPUTimeSaved: -17, WallTimeSaved: 5}})
	c, err := net.Dial("unix", s.SocketPath())
	must(t, err)
	defer c.Close()
	dec := json.NewDecoder(c)
	for _, rpc := range []struct{ request, reply string }{
		{`{"method":"containerManager.GetSavings","arg":null}`, `{"success":true,"err":"","result":{"CPUTimeSaved":-17,"WallTimeSaved":5}}`},
		{`{"method":"Nope"}`, `{"success":false,"err":"unknown method","result":null}`},
		{`{"method":"Metrics.Export"}`, `{"success":false,"err":"unexpected end of JSON input","result":null}`},
	} {
		_, err := io.WriteString(c, rpc.request)
		must(t, err)
		var reply json.RawMessage
		must(t, dec.Decode(&reply))
		if string(reply) != rpc.reply {
			t.Errorf("%s: %.200s, want %.200s", rpc.request, reply, rpc.reply)
		}
	}
	if got, want := s.Stats(), (Stats{Connections: 1, Queries: 3}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestGarbageGetsEOF(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a"})
	for _, request := range []string{"rubbish", "{]", "[1]", `{"method":7}`} {
		if reply := ask(t, s.SocketPath(), request); reply != nil {
			t.Errorf("%s: %s", request, reply)
		}
	}
}

func TestValues(t *testing.T) {
	r, points := WithDistribution()
	s := mustStart(t, t.TempDir(), Spec{ID: "a", Registration: r, Points: points})
	must(t, s.Set(Point{Metric: "fs_opens", Int: 60}, Point{Metric: "netstack_tcp_current_open", Int: -3}, Point{Metric: "fs_reads"},
		Point{Metric: "weirdness", Labels: map[string]string{"weirdness_type": "time_fallback"}, Float: 2.5}))
	must(t, s.Add("fs_opens", nil, 1<<60))
	must(t, s.Add("netstack_tcp_resets_sent", nil, 1))
	reply := string(ask(t, s.SocketPath(), exportAll))
	for _, want := range []string{
		`{"name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":1152921504606847036}}`,
		`"val":{"int":-3}}`,
		`"labels":{"weirdness_type":"time_fallback"},"val":{"float":2.5}}`,
		`{"name":"fs_latency","type":3,"help":"Time that file operations take, in nanoseconds."},"histogram":` +
			`{"total":{"int":111},"min":{"int":1},"max":{"int":100},"ssd":{"float":2.5},"buckets":[` +
			`{"le":{"int":1},"n":1},{"le":{"int":10},"n":2},{"le":{"int":100},"n":3},{"le":{},"n":4}]}}`,
	} {
		if !strings.Contains(reply, want) {
			t.Errorf("no %s in %s", want, reply)
		}
	}
	if strings.Contains(reply, "fs_reads") {
		t.Error("a counter at zero was sent")
	}
	if n := len(export(t, []byte(reply)).Data); n != 10 {
		t.Errorf("%d points, want 10", n)
	}
}

func TestOnlyRegisteredSeriesHaveValues(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a"})
	before := normal(t, ask(t, s.SocketPath(), exportAll))
	for _, p := range []Point{
		{Metric: "fs_closes"},
		{Metric: "unimplemented_syscalls"},
		{Metric: "unimplemented_syscalls", Labels: map[string]string{"sysno": "x"}},
		{Metric: "unimplemented_syscalls", Labels: map[string]string{"syscall": "334"}},
		{Metric: "fs_opens", Labels: map[string]string{"a": "b"}},
		{Metric: "fs_opens", Hist: new(Histogram)},
		{Metric: "fs_opens", Float: math.NaN()},
	} {
		if err := s.Set(Point{Metric: "fs_opens", Int: 7}, p); err == nil {
			t.Errorf("Set took %+v", p)
		}
	}
	if after := normal(t, ask(t, s.SocketPath(), exportAll)); after != before {
		t.Errorf("a refused Set changed %s to %s", before, after)
	}
}

func TestShuffledKeysSayTheSame(t *testing.T) {
	root := t.TempDir()
	decoded := func(spec Spec, filter string) (frame any, points []string) {
		reply := ask(t, mustStart(t, root, spec).SocketPath(), `{"method":"Metrics.Export","arg":{"only_metrics":"`+filter+`"}}`)
		var v map[string]any
		must(t, json.Unmarshal(reply, &v))
		snapshot := v["result"].(map[string]any)["snapshot"].(map[string]any)
		data, _ := snapshot["data"].([]any)
		for _, point := range data {
			points = append(points, string(mustJSON(point))) // with sorted keys
		}
		slices.Sort(points)
		delete(snapshot, "data")
		delete(snapshot, "when")
		return v, points
	}
	for _, filter := range []string{"", "fs_", "^nothing$"} {
		plain, points := decoded(Spec{ID: "plain"}, filter)
		if got, gotPoints := decoded(Spec{ID: "shuffled", Order: 1, ShuffleKeys: true}, filter); !reflect.DeepEqual(got, plain) || !slices.Equal(gotPoints, points) {
			t.Errorf("filter %q: got %v %v\nwant %v %v", filter, got, gotPoints, plain, points)
		}
	}
}

// TestSocketElsewhere: the control socket may be in any directory, also in one whose path is too long for
// a socket.
func TestSocketElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("long-", 20))
	must(t, os.Mkdir(path, 0o755))
	dir, err := os.Open(path)
	must(t, err)
	defer dir.Close()
	socket := filepath.Join(path, "s")
	s := mustStart(t, t.TempDir(), Spec{ID: "a", ControlSocket: socket})
	if n := len(export(t, ask(t, fmt.Sprintf("/proc/self/fd/%d/s", dir.Fd()), exportAll)).Data); n != 8 {
		t.Errorf("%d points", n)
	}
	if got := readState(t, s, "").Sandbox.ControlSocketPath; got != socket {
		t.Errorf("state file says %s", got)
	}
	must(t, s.Remove())
	if left := names(t, path); len(left) > 0 {
		t.Errorf("after Remove: %q", left)
	}
}

// TestFrozen: connections to a frozen sandbox fill its backlog, and get replies once it is thawed.
func TestFrozen(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a", Frozen: true})
	var conns []net.Conn
	for {
		c, err := net.Dial("unix", s.SocketPath())
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		must(t, err)
		defer c.Close()
		io.WriteString(c, exportAll)
		conns = append(conns, c)
	}
	if len(conns) != backlog+1 {
		t.Errorf("%d connections fit into a backlog of %d", len(conns), backlog)
	}
	conns[0].SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := conns[0].Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen sandbox: %d bytes, %v", n, err)
	}
	s.Thaw()
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		var reply json.RawMessage
		must(t, json.NewDecoder(c).Decode(&reply))
	}
}

func TestStopEndsWhatHangs(t *testing.T) {
	for name, behavior := range map[string]Behavior{
		"stall": Stall, "drip": Drip(1, time.Hour), "late": Late(time.Hour), "flood": Flood("", " ", 0, ""),
	} {
		t.Run(name, func(t *testing.T) {
			s := mustStart(t, t.TempDir(), Spec{ID: "a", Behavior: behavior})
			c, err := net.Dial("unix", s.SocketPath())
			must(t, err)
			defer c.Close()
			io.WriteString(c, exportAll)
			for s.Stats().Queries == 0 {
				time.Sleep(time.Millisecond)
			}
			s.Stop()
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
				t.Error("the connection is open")
			}
		})
	}
}
