package jscan

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func BenchmarkSkip(b *testing.B) {
	data := testkit.Testdata(b, "registration.json")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s := New(data)
		s.Skip()
		if err := s.End(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseInt(b *testing.B) {
	text := []byte("1795338783582")
	for b.Loop() {
		if _, ok := ParseInt(text); !ok {
			b.Fatal("refused")
		}
	}
}
