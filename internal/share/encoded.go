package share

import (
	"context"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// An Encoding changes a whole page, such as by compressing it. Encodings are compared with ==.
type Encoding interface {
	// Append appends the encoded page to b.
	Append(b, page []byte) []byte
}

// encodedKey is the rendering of a page that is encoded.
type encodedKey struct {
	rendering any
	encoding  Encoding
}

// usualRatio is by how much a page becomes smaller, most often by more. A buffer that has to grow is garbage, and too large to be used again.
const usualRatio = 3

// EncodedPage is Page for a page that is encoded. Readers that give the same snapshot, rendering and encoding share the bytes, which are made
// once of those that readers of the page itself share. Encoding is work like rendering: of both at most four run at a time, and the encoded
// page counts in the budgets like any other.
func (s *Share) EncodedPage(ctx context.Context, snap *snapshot.Snapshot, rendering any, prepare Prepare, encoding Encoding) (*Lease, error) {
	return s.page(ctx, pageKey{snap, encodedKey{rendering, encoding}}, func() (work, error) {
		// The page has a reader of its own, who does not leave: this waits for nothing but the page, and holds up no rendering.
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
