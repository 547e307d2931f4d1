package schema

import "sync/atomic"

// A Memo caches something that a later stage derives from an immutable value, such as the text of
// its labels. It is derived once in the life of the value rather than once per page, and is freed
// with the value. The zero value is empty. It is safe for concurrent use.
type Memo struct{ made atomic.Value }

// Remember returns the cached value, and calls make if there is none. If two goroutines call it at
// the same time, both may call make; one result is kept, and both get it. All calls for one memo
// must have the same T.
func Remember[T any](m *Memo, make func() *T) *T {
	if made, ok := m.made.Load().(*T); ok {
		return made
	}
	m.made.CompareAndSwap(nil, make())
	return m.made.Load().(*T)
}
