package expo

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// decoders decompress the encodings.
var decoders = map[Encoding]func(io.Reader) (io.Reader, error){
	Gzip{}: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	Zstd{}: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
}

func decode(t *testing.T, e Encoding, compressed []byte) []byte {
	t.Helper()
	r, err := decoders[e](bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestEncodings: pages of any size survive a round trip, from several goroutines at once, and
// Append keeps the previous content of the buffer.
func TestEncodings(t *testing.T) {
	large := Text{}.Append(nil, benchmarkPage(t, 50, 60))
	for _, e := range encodings {
		t.Run(e.Name(), func(t *testing.T) {
			var readers sync.WaitGroup
			for _, page := range [][]byte{nil, []byte("# EOF\n"), large, large[:len(large)/2]} {
				readers.Go(func() {
					for range 5 {
						got, isThere := bytes.CutPrefix(e.Append([]byte("before"), page), []byte("before"))
						if !isThere || !bytes.Equal(decode(t, e, got), page) {
							t.Errorf("a page of %d bytes does not come back", len(page))
						}
					}
				})
			}
			readers.Wait()
			if n := len(e.Append(nil, large)); n > len(large)/10 {
				t.Errorf("a page of %d bytes has %d", len(large), n)
			}
		})
	}
}

func BenchmarkEncodings(b *testing.B) {
	p := benchmarkPage(b, 1000, 60)
	for _, format := range []Format{Text{}, OpenMetrics{}, Protobuf{}} {
		page := format.Append(nil, p)
		for _, e := range encodings {
			b.Run(nameOf(format)+"/"+e.Name(), func(b *testing.B) {
				compressed := slices.Clip(e.Append(nil, page))
				b.SetBytes(int64(len(page)))
				b.ReportAllocs()
				for b.Loop() {
					compressed = e.Append(compressed[:0], page)
				}
				b.ReportMetric(float64(len(page))/float64(len(compressed)), "ratio")
			})
		}
	}
}
