package share

import (
	"context"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// An Encoding transforms a whole page, for example by compressing it. Encodings are compared with
// ==.
type Encoding interface {
	// Append appends the encoded page to b.
	Append(b, page []byte) []byte
}

// encodedKey is the rendering in the pageKey of an encoded page.
type encodedKey struct {
	rendering any
	encoding  Encoding
}

// usualRatio is the assumed compression ratio; most pages compress better. A buffer that has to
// grow becomes garbage, and the result is too large to reuse.
const usualRatio = 3

// EncodedPage is like Page, but encodes the page. Readers that pass the same snapshot, rendering
// and encoding share the bytes. The bytes are encoded once, from the page that readers of the plain
// page share. Encoding counts as rendering: at most four of the two run at a time, and the encoded
// page counts toward the budgets like any other page.
func (s *Share) EncodedPage(ctx context.Context, snap *snapshot.Snapshot, rendering any, prepare Prepare, encoding Encoding) (*Lease, error) {
	return s.page(ctx, pageKey{snap, encodedKey{rendering, encoding}}, func() (work, error) {
		// This lease is independent of the reader's context. The call only waits for the plain page
		// and holds no rendering token.
		plain, err := s.Page(context.WithoutCancel(ctx), snap, rendering, prepare)
		if err != nil {
			return work{}, err
		}
		return work{
			render: func(buffer Buffer) []byte { return encoding.Append(buffer(len(plain.Body())/usualRatio), plain.Body()) },
			done:   plain.Release,
		}, nil
	})
}
