// Package share lets any number of readers live off few collections and few pages. It knows neither sandboxes nor HTTP: it is given functions that
// collect, render and compress, and decides when to call them and who gets the results.
//
//   - A reader that comes during a collection gets the next one, so that it never gets what is older than its own request; all that come
//     during one share the next. Any number of readers, filters and formats therefore costs two collections.
//   - Readers that want the same rendering of the same snapshot share its bytes, and those who want it compressed share these.
//   - A reader that is too slow for its page to be kept is cut off.
package share
