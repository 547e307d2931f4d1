package api

import "github.com/sandmeter/sandmeter/internal/snapshot"

// A Life selects sandboxes with exact values. Root and Iteration match every sandbox if they are
// empty.
type Life struct{ ID, Root, Iteration string }

func (l Life) matches(s *snapshot.Sandbox) bool {
	return s.Labels.Sandbox == l.ID && (l.Root == "" || s.Root == l.Root) && (l.Iteration == "" || s.Labels.Iteration == l.Iteration)
}

// Find returns the sandboxes that match, at most one per runtime root, in the order of the snapshot.
// If a root has several lives of the ID, Find returns the one that runs or, if none does, the newest.
func Find(snap *snapshot.Snapshot, of Life) []*snapshot.Sandbox {
	var found []*snapshot.Sandbox
	place := make(map[string]int) // by root
	for i := range snap.Sandboxes {
		s := &snap.Sandboxes[i]
		if !of.matches(s) {
			continue
		}
		at, known := place[s.Root]
		switch {
		case !known:
			place[s.Root] = len(found)
			found = append(found, s)
		case preferred(s, found[at]):
			found[at] = s
		}
	}
	return found
}

// preferred reports whether a request without an iteration means life a rather than b.
func preferred(a, b *snapshot.Sandbox) bool {
	if a.Running() != b.Running() {
		return a.Running()
	}
	return a.CreatedAt.After(b.CreatedAt)
}
