// Package share serves any number of readers from a few collections and a few pages. It does not
// depend on sandboxes or HTTP: callers pass functions that collect, render and compress, and the
// package decides when to call them and which readers get the results.
//
//   - A reader that arrives during a collection gets the next one, so it never gets data older than
//     its own request. All readers that arrive during a collection share the next one. Any number
//     of readers, filters and formats therefore costs two collections.
//   - Readers that request the same rendering of the same snapshot share its bytes. Readers that
//     request it compressed share the compressed bytes.
//   - A reader that is too slow is cut off, so that its page can be freed.
package share
