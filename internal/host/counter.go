package host

// A counter adds up the growth of a counter of the kernel. It never falls: where the kernel's
// counter begins again, it goes on.
type counter struct {
	total  int64
	last   int64
	source uint64 // identifies the kernel's counter, such as the inode of a cgroup
	paused bool   // growth up to the next value is not the sandbox's
}

// add returns the total after the kernel's counter of the source has the value. A new source begins
// at 0. A fall without a new source counts as no growth, because the earlier count is unknown.
func (c *counter) add(source uint64, value int64) int64 {
	if source != c.source {
		c.source, c.last, c.paused = source, 0, false
	}
	if value > c.last && !c.paused {
		c.total += value - c.last
	}
	c.last, c.paused = value, false
	return c.total
}
