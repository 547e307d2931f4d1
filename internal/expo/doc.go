// Package expo renders pages, one format per file. Escaping happens here and nowhere else.
package expo

import "github.com/sandmeter/sandmeter/internal/page"

// A Format turns pages into bytes. Formats have no state of their own and are safe for concurrent use; the same page always gives the same
// bytes.
type Format interface {
	// ContentType is the value of the HTTP header of that name.
	ContentType() string
	// Append appends the page. Families without samples are left out.
	Append([]byte, *page.Page) []byte
}
