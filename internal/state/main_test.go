package state

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func readTestdata(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func moment(tb testing.TB, text string) time.Time {
	tb.Helper()
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// until polls for what takes a moment.
func until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within a minute", what)
		}
	}
}

const createdAt = "2026-11-22T09:12:52.799344464Z"

// stateOf returns a small state file of a container, with more members of its sandbox, each with a comma before it.
func stateOf(container, sandbox, status string, more string) string {
	return fmt.Sprintf(`{"id":%q,"createdAt":%q,"status":%q,"sandbox":{"id":%q%s}}`, container, createdAt, status, sandbox, more)
}
