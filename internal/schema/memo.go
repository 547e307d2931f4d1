package schema

import "sync/atomic"

// A Memo holds what a later stage makes of an immutable value, such as the text of its labels, so that it is made once in the life of the
// value rather than once per page, and goes when the value goes. The zero value holds nothing. It is safe for concurrent use.
type Memo struct{ made atomic.Value }

// Remember returns what the memo holds, which make makes the first time. Two goroutines that come first at the same time may both make it;
// one result is kept, and both get that one. All calls for one memo have the same T.
func Remember[T any](m *Memo, make func() *T) *T {
	if made, ok := m.made.Load().(*T); ok {
		return made
	}
	m.made.CompareAndSwap(nil, make())
	return m.made.Load().(*T)
}
