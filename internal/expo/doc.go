// Package expo renders pages in exposition formats, one per file, and compresses them with
// encodings, one per file. It negotiates both with the client. All escaping happens in this
// package.
package expo

import "github.com/sandmeter/sandmeter/internal/page"

// A Format renders pages. Formats are stateless and safe for concurrent use. The same page always
// renders to the same bytes. Formats are compared with ==.
type Format interface {
	// Append appends the page to b and returns the extended slice, which belongs to the caller.
	// Families keep the order of the page, and families without samples are left out. Append does
	// not change the page.
	Append(b []byte, p *page.Page) []byte

	// contentType returns the Content-Type of the response to a client that accepts the media type
	// with these parameters, or "" if the format does not match them.
	contentType(mediaType string, params map[string]string) string
}
