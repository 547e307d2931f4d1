package control

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestExportRequest compares the request with a recorded one of gVisor's client.
func TestExportRequest(t *testing.T) {
	want := testkit.Testdata(t, "export_all.request.bin")
	if got := ExportRequest(); string(got) != string(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEventRequest(t *testing.T) {
	if got := string(EventRequest("a-1_b+c.d")); got != `{"method":"containerManager.Event","arg":"a-1_b+c.d"}` {
		t.Errorf("got %s", got)
	}
}

// TestLongRequest sends a request of the documented maximum length.
func TestLongRequest(t *testing.T) {
	w := newWorld(t)
	q := newProbe(w.start(simulate.Spec{ID: "a"}).SocketPath())
	q.request = []byte(strings.TrimSuffix(string(ExportRequest()), "}") + strings.Repeat(" ", 24<<10-len(ExportRequest())) + "}")
	if w.ask(q); !q.honest() {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}

// TestFailuresAreOneLine compares the texts, which the log shows.
func TestFailuresAreOneLine(t *testing.T) {
	check := func(f *failure.Failure, reason failure.Reason, want string) {
		t.Helper()
		if f.Reason != reason || f.Error() != want {
			t.Errorf("got %s: %q, want %s: %q", f.Reason, f, reason, want)
		}
	}
	check(notConnected(NewAddress("/a\n", "/b"), unix.ECONNREFUSED), failure.Unreachable, `cannot connect to the control socket "/a\n": connection refused`)
	check(notConnected(NewAddress("/a", ""), unix.EACCES), failure.PermissionDenied,
		`cannot connect to the control socket "/a": permission denied (run the server as root, or give it CAP_DAC_OVERRIDE)`)
	check(internal(errShortWrite), failure.Internal, "cannot send the request: short write to the control socket")
}
