package schema

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func BenchmarkCompile(b *testing.B) {
	registration := testkit.Testdata(b, "registration.json")
	b.SetBytes(int64(len(registration)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(registration); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFind measures the lookups for a point of a reply: the metric and a label value.
func BenchmarkFind(b *testing.B) {
	s, err := Compile(testkit.Testdata(b, "registration.json"))
	if err != nil {
		b.Fatal(err)
	}
	name, value := []byte("unimplemented_syscalls"), []byte("334")
	for b.Loop() {
		m := &s.Metrics[s.Find(name)]
		if _, ok := m.Fields[0].Offset(value); !ok {
			b.Fatal("not allowed")
		}
	}
}
