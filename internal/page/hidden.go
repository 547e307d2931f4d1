package page

import "github.com/sandmeter/sandmeter/internal/snapshot"

// shown returns the sandboxes that have series, in their order. The result is all itself if each
// has.
func shown(all []snapshot.Sandbox) []snapshot.Sandbox {
	n := 0
	for i := range all {
		if all[i].Hidden == snapshot.Shown {
			n++
		}
	}
	if n == len(all) {
		return all
	}
	some := make([]snapshot.Sandbox, 0, n)
	for i := range all {
		if all[i].Hidden == snapshot.Shown {
			some = append(some, all[i])
		}
	}
	return some
}
