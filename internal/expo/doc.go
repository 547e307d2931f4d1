// Package expo renders pages, one format per file. Escaping happens here and nowhere else.
package expo

import "github.com/sandmeter/sandmeter/internal/page"

// A Format turns pages into bytes. Formats have no state of their own and are safe for concurrent use; the same page always gives the same
// bytes.
type Format interface {
	// ContentType is the value of the HTTP header of that name.
	ContentType() string
	// Append appends the page to b and returns the longer slice, which belongs to the caller. Families stand in the page's order, and those
	// without samples are left out. The page is not changed.
	Append(b []byte, p *page.Page) []byte
}
