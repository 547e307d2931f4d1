package host

// Update replaces the quantities that a later measurement has. The others stay as they are, as do the
// interfaces, so it completes what was measured of a sandbox with what is left at its end.
func (u *Usage) Update(later *Usage) {
	for q := range quantities {
		if value, ok := later.Get(q); ok {
			u.set(q, value)
		}
	}
}

// Empty reports whether nothing was measured, and there is no reason for that: the sentry has ended.
func (u *Usage) Empty() bool { return u.present == 0 && len(u.Interfaces)+len(u.Absent) == 0 }
