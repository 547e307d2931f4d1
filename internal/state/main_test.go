package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func moment(tb testing.TB, text string) time.Time {
	tb.Helper()
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

const createdAt = "2026-11-22T09:12:52.799344464Z"

// stateOf returns a small state file of a container, with more fields of its sandbox, each with a
// comma before it.
func stateOf(container, sandbox, status string, more string) string {
	return fmt.Sprintf(`{"id":%q,"createdAt":%q,"status":%q,"sandbox":{"id":%q%s}}`, container, createdAt, status, sandbox, more)
}
