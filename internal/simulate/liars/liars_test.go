package liars

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// exportAll is the request for all metrics, as servers send it.
const exportAll = `{"method":"Metrics.Export","arg":{"only_metrics":""}}`

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestLiarsAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range slices.Concat(All(), OfUsage(), OfFinalLog()) {
		if seen[l.Name] {
			t.Errorf("%s: two of that name", l.Name)
		}
		seen[l.Name] = true
		if l.Describe == "" || l.Topic == "" {
			t.Errorf("%s: no description or no topic", l.Name)
		}
	}
}

// TestEachLiarLies finds liars that behave like an honest sandbox, for example because a Replace
// does not match.
func TestEachLiarLies(t *testing.T) {
	root := t.TempDir()
	sandbox, err := simulate.Start(root, simulate.Spec{ID: "honest", Restored: true})
	if err != nil {
		t.Fatal(err)
	}
	honest := observe(sandbox, time.Second/2)
	if err := sandbox.Remove(); err != nil {
		t.Error(err)
	}
	if len(honest) != 4 {
		t.Fatalf("observations of an honest sandbox differ: %q", honest)
	}
	limit := make(chan struct{}, 128)
	var running sync.WaitGroup
	for i, l := range All() {
		limit <- struct{}{}
		running.Go(func() {
			defer func() { <-limit }()
			s, err := l.Start(root, simulate.Spec{ID: fmt.Sprint("liar", i), Restored: true})
			if err != nil {
				t.Errorf("%s: %v", l.Name, err)
				return
			}
			if observed := observe(s, time.Second/20); slices.Equal(observed, honest) {
				t.Errorf("%s: says what an honest sandbox says", l.Name)
			}
			if err := s.Remove(); err != nil {
				t.Errorf("%s: %v", l.Name, err)
			}
		})
	}
	running.Wait()
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestEachLiarLiesAboutUsage finds liars whose replies are those of an honest sandbox.
func TestEachLiarLiesAboutUsage(t *testing.T) {
	event := func(spec simulate.Spec, quiet time.Duration) string {
		t.Helper()
		s, err := simulate.Start(t.TempDir(), spec)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Remove()
		s.Report(simulate.Use{CPU: map[string]time.Duration{"a": time.Second}, Memory: map[string]int64{"a": 1 << 20},
			Interfaces: []simulate.Interface{{Name: "eth0", TxBytes: 100}}})
		return readUntilQuiet(s, `{"method":"containerManager.Event","arg":"a"}`, quiet)
	}
	honest := event(simulate.Spec{ID: "a"}, time.Second)
	if !strings.Contains(honest, `"containerUsage":{"a":1000000000}`) {
		t.Fatalf("an honest reply is %s", honest)
	}
	for _, l := range OfUsage() {
		spec := simulate.Spec{ID: "a"}
		l.Spec(&spec)
		if event(spec, time.Second/20) == honest {
			t.Errorf("%s: says what an honest sandbox says", l.Name)
		}
	}
}

// observe queries a sandbox a few times and returns its distinct replies and state files, without
// the parts that differ between honest sandboxes. A reply ends when no data arrives for the
// duration quiet.
func observe(s *simulate.Sandbox, quiet time.Duration) []string {
	var observed []string
	for range 2 {
		observed = append(observed,
			"all: "+readUntilQuiet(s, exportAll, quiet),
			"some: "+readUntilQuiet(s, `{"method":"Metrics.Export","arg":{"only_metrics":"^fs_opens$"}}`, quiet),
			"savings: "+readUntilQuiet(s, `{"method":"containerManager.GetSavings","arg":null}`, quiet))
	}
	var states []string
	for range 10 {
		states = append(states, readSome(s.StatePath("")))
		time.Sleep(time.Millisecond)
	}
	for _, state := range slices.Compact(states) {
		observed = append(observed, "state: "+honestState(state, s.ID()))
	}
	slices.Sort(observed)
	return slices.Compact(observed)
}

// readSome returns the beginning of a file.
func readSome(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 200<<10))
	return fmt.Sprint(string(b), err)
}

// honestState returns a state file without ID and times.
func honestState(state, id string) string {
	s := strings.ReplaceAll(state, id, "ID")
	for _, key := range []string{`"createdAt":`, `"startTime":`} {
		s = editField(s, `"bundleDir"`, key, func(key, value string) string {
			if _, err := time.Parse(`"`+time.RFC3339Nano+`"`, value); err != nil {
				return value
			}
			return key
		})
	}
	return s
}

// honestTime returns a reply with its points sorted, and without its time if that is now.
func honestTime(reply string) string {
	var r struct {
		Result struct {
			Snapshot struct{ Data []json.RawMessage }
		}
	}
	if json.Unmarshal([]byte(reply), &r) == nil {
		points := []string{}
		for _, p := range r.Result.Snapshot.Data {
			points = append(points, string(p))
			reply = strings.Replace(reply, string(p), "", 1)
		}
		slices.Sort(points)
		reply += strings.Join(points, "\n")
	}
	return editField(reply, "", `"when":`, func(key, value string) string {
		when, err := time.Parse(`"`+time.RFC3339Nano+`"`, value)
		if err != nil || time.Since(when).Abs() > time.Second {
			return key + value
		}
		return key
	})
}

// readUntilQuiet sends a request and returns all data until no more arrives, with a note of how the reply
// ended, and of file descriptors.
func readUntilQuiet(s *simulate.Sandbox, request string, quiet time.Duration) string {
	c, err := net.Dial("unix", s.SocketPath())
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.Write([]byte(request))
	var all []byte
	buf, rights := make([]byte, 64<<10), make([]byte, 4096)
	for len(all) < 4<<20 {
		c.SetReadDeadline(time.Now().Add(quiet))
		n, oob, _, _, err := c.(*net.UnixConn).ReadMsgUnix(buf, rights)
		if oob > 0 {
			closeRights(rights[:oob])
			return "file descriptors"
		}
		if err != nil || n == 0 {
			return honestTime(string(all)) + fmt.Sprint(" end: ", os.IsTimeout(err))
		}
		all = append(all, buf[:n]...)
	}
	return "much"
}

func closeRights(oob []byte) {
	messages, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m)
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

func TestEditMember(t *testing.T) {
	const doc = `{"a":{"b":1},"c":[2],"b":"3"}`
	for _, test := range []struct{ anchor, key, with, want string }{
		{"", `"a":`, `"x":0`, `{"x":0,"c":[2],"b":"3"}`},
		{"", `"b":`, `"x":0`, `{"a":{"x":0},"c":[2],"b":"3"}`},
		{`"c"`, `"b":`, `"x":0`, `{"a":{"b":1},"c":[2],"x":0}`},
		{"", `"a":`, "", `{"c":[2],"b":"3"}`},
		{"", `"b":`, "", `{"a":{},"c":[2],"b":"3"}`},
		{`"c"`, `"b":`, "", `{"a":{"b":1},"c":[2]}`},
		{"", `"d":`, "x", doc},
		{"d", `"a":`, "x", doc},
	} {
		if got := editField(doc, test.anchor, test.key, func(string, string) string { return test.with }); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
