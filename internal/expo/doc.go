// Package expo renders pages, one format per file, and compresses them, one encoding per file. It chooses both by what a client accepts.
// Escaping happens here and nowhere else.
package expo

import "github.com/sandmeter/sandmeter/internal/page"

// A Format turns pages into bytes. Formats have no state of their own and are safe for concurrent use; the same page always gives the same
// bytes. Formats are compared with ==.
type Format interface {
	// Append appends the page to b and returns the longer slice, which belongs to the caller. Families stand in the page's order, and those
	// without samples are left out. The page is not changed.
	Append(b []byte, p *page.Page) []byte

	// contentType returns the Content-Type under which the format serves a client that accepts the media type with these parameters, and
	// "" if it does not.
	contentType(mediaType string, params map[string]string) string
}
