package expo

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Zstd is the encoding zstd.
type Zstd struct{}

// Name implements Encoding.
func (Zstd) Name() string { return "zstd" }

// zstdEncoders is a pool of encoders for reuse: a new encoder allocates 300 KB.
var zstdEncoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow))
	if err != nil {
		panic(err) // invalid option
	}
	return e
}}

// zstdWindow is the window size of the encoder. Larger windows cost more and do not compress
// better: the repetition in a page is from line to line.
const zstdWindow = 256 << 10

// Append implements Encoding.
func (Zstd) Append(b, page []byte) []byte {
	e := zstdEncoders.Get().(*zstd.Encoder)
	defer zstdEncoders.Put(e)
	return e.EncodeAll(page, b)
}
