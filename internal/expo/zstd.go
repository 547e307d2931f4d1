package expo

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Zstd is the encoding zstd.
type Zstd struct{}

// Name implements Encoding.
func (Zstd) Name() string { return "zstd" }

// zstdEncoders has encoders for reuse: a new one costs 300 KB.
var zstdEncoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow))
	if err != nil {
		panic(err) // no such option
	}
	return e
}}

// zstdWindow is how far back the encoder looks. Larger ones cost more and find no more: what repeats in a page repeats in each line.
const zstdWindow = 256 << 10

// Append implements Encoding.
func (Zstd) Append(b, page []byte) []byte {
	e := zstdEncoders.Get().(*zstd.Encoder)
	defer zstdEncoders.Put(e)
	return e.EncodeAll(page, b)
}
