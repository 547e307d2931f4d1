package schema

import (
	"os"
	"path/filepath"
	"testing"
)

func readTestdata(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func BenchmarkCompile(b *testing.B) {
	registration := readTestdata(b, "registration.json")
	b.SetBytes(int64(len(registration)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(registration); err != nil {
			b.Fatal(err)
		}
	}
}
