package share

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// maxRecent limits the snapshots that are kept to be served again. By default, fewer collections begin
// in a second, which is the age at which documents of the API use one again.
const maxRecent = 32

// recent are complete snapshots that may be served again, newest first. None of them covers an
// older one, so at most one is of all sandboxes.
type recent []*snapshot.Snapshot

// covering returns the newest snapshot with all sandboxes that of selects, or nil.
func (r recent) covering(of snapshot.Selector) *snapshot.Snapshot {
	want := snapshot.Unite([]snapshot.Selector{of})
	for _, snap := range r {
		if snap.Selected.Covers(want) {
			return snap
		}
	}
	return nil
}

// add adds the newest snapshot and removes those that it covers. If there are too many, it removes
// the oldest one that is not of all sandboxes, because only that one serves every reader.
func (r *recent) add(snap *snapshot.Snapshot) {
	kept := slices.DeleteFunc(*r, func(old *snapshot.Snapshot) bool { return snap.Selected.Covers(old.Selected) })
	kept = slices.Insert(kept, 0, snap)
	if oldest := len(kept) - 1; oldest >= maxRecent {
		if kept[oldest].Selected.Everything() {
			oldest--
		}
		kept = slices.Delete(kept, oldest, oldest+1)
	}
	*r = kept
}
