package snapshot

// A Pool makes copies of short lists. Lists that change with each collection need one per sandbox: many
// share an allocation, which is freed when none of them is in use. The zero value is ready. It is not
// safe for concurrent use.
type Pool[T any] struct{ kept []T }

// poolLists is for how many lists a Pool allocates at a time.
const poolLists = 64

// Copy returns a copy of a list; nil if it is empty. A nil Pool gives each list memory of its own, which
// is for lists that outlive others.
func (p *Pool[T]) Copy(list []T) []T {
	if len(list) == 0 || p == nil {
		return append([]T(nil), list...)
	}
	if cap(p.kept)-len(p.kept) < len(list) {
		p.kept = make([]T, 0, poolLists*len(list))
	}
	from := len(p.kept)
	p.kept = append(p.kept, list...)
	return p.kept[from:len(p.kept):len(p.kept)]
}
