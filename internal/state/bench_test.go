package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkParse parses a state file whose registration is known, as those of all sandboxes of a runsc release but the first are.
func BenchmarkParse(b *testing.B) {
	data := readTestdata(b, "sb-k8s.state")
	regs := newRegistrations()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data, regs.intern); err != nil {
			b.Fatal(err)
		}
	}
}

// manyFiles writes what n sandboxes have in their root. Their state files list the metrics in orders of their own.
func manyFiles(b *testing.B, n int) (root string) {
	root = b.TempDir()
	template := readTestdata(b, "sb-plain.state")
	for i := range n {
		id := fmt.Sprintf("sb-%04d", i)
		data := shuffleMetrics(b, bytes.ReplaceAll(template, []byte("sb-plain"), []byte(id)), uint64(i))
		for name, content := range map[string][]byte{id + "_sandbox:" + id + ".state": data, id + "_sandbox:" + id + ".lock": nil, "runsc-" + id + ".sock": nil} {
			if err := os.WriteFile(filepath.Join(root, name), content, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	time.Sleep(2 * settleTime) // until their times can be trusted
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

// BenchmarkListUnchanged is what every scrape has to do.
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

// BenchmarkListFirst is what a server that just started has to do.
func BenchmarkListFirst(b *testing.B) {
	root := manyFiles(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		listing, err := NewRoot(root).List()
		if err != nil || len(listing.Sandboxes) != 1000 {
			b.Fatal(len(listing.Sandboxes), err)
		}
	}
}

// BenchmarkPoll looks after 1,000 processes.
func BenchmarkPoll(b *testing.B) {
	var processes []*Process
	for range 1000 {
		p := OpenProcess(os.Getpid(), time.Now())
		defer p.Close()
		processes = append(processes, p)
	}
	var fds []unix.PollFd
	b.ReportAllocs()
	for b.Loop() {
		fds = Poll(processes, fds)
	}
	if processes[0].Ended() {
		b.Fatal("this process has ended")
	}
}

func BenchmarkIteration(b *testing.B) {
	created := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		Iteration("sb-k8s", created)
	}
}
