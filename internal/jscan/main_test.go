package jscan

import (
	"os"
	"path/filepath"
	"testing"

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
