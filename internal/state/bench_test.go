package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// BenchmarkParse parses a state file whose registration is known, which is the usual case.
func BenchmarkParse(b *testing.B) {
	data := testkit.Testdata(b, "sb-k8s.state")
	known := NewShared("")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(data, known); err != nil {
			b.Fatal(err)
		}
	}
}

// manyFiles writes the files of n sandboxes. Each state file lists the metrics in another order.
func manyFiles(b *testing.B, n int) (root string) {
	root = b.TempDir()
	template := testkit.Testdata(b, "sb-plain.state")
	for i := range n {
		id := fmt.Sprintf("sb-%04d", i)
		data := shuffleMetrics(b, bytes.ReplaceAll(template, []byte("sb-plain"), []byte(id)), uint64(i))
		for name, content := range map[string][]byte{id + "_sandbox:" + id + ".state": data, id + "_sandbox:" + id + ".lock": nil, "runsc-" + id + ".sock": nil} {
			if err := os.WriteFile(filepath.Join(root, name), content, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	time.Sleep(2 * settleTime) // until their stamps are settled
	return root
}

// shuffleMetrics changes the order in which the state file's registration lists its metrics.
func shuffleMetrics(tb testing.TB, state []byte, seed uint64) []byte {
	const start, end = `"metrics":[{`, `}],"stages":[`
	before, rest, ok := bytes.Cut(state, []byte(start))
	list, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		tb.Fatal("the state file has no registration")
	}
	metrics := bytes.Split(list, []byte(`},{"name":`))
	for i := 1; i < len(metrics); i++ {
		metrics[i] = append([]byte(`"name":`), metrics[i]...)
	}
	rand.New(rand.NewPCG(seed, seed)).Shuffle(len(metrics), func(i, j int) { metrics[i], metrics[j] = metrics[j], metrics[i] })
	return bytes.Join([][]byte{before, []byte(start), bytes.Join(metrics, []byte("},{")), []byte(end), after}, nil)
}

// BenchmarkListUnchanged measures the listing of a usual scrape.
func BenchmarkListUnchanged(b *testing.B) {
	r := NewRoot(manyFiles(b, 1000))
	if _, err := r.List(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		listing, err := r.List()
		if err != nil || len(listing.Sandboxes) != 1000 {
			b.Fatal(len(listing.Sandboxes), err)
		}
	}
}

// BenchmarkListFirst measures the first listing of a server. The cost per file is the same for
// any number of files.
func BenchmarkListFirst(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		root := manyFiles(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				listing, err := NewRoot(root).List()
				if err != nil || len(listing.Sandboxes) != n {
					b.Fatal(len(listing.Sandboxes), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/file")
		})
	}
}
