package sandboxtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
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

// ask sends a request on a connection of its own and returns the reply, or what came before the end.
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

// normal returns an Export's reply with its points sorted, each on a line, and its time taken out.
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
			// The captured files had their registration cut out, which the real one is checked against.
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
