package collect

import "github.com/sandmeter/sandmeter/internal/snapshot"

// A setCache has label sets with one label, by its value, so that sandboxes share them.
type setCache struct {
	label string
	sets  map[string]*snapshot.LabelSet
}

func newSetCache(label string) setCache {
	return setCache{label, make(map[string]*snapshot.LabelSet)}
}

// maxCachedSets limits a setCache. A node has few names of interfaces; others are not worth the
// memory.
const maxCachedSets = 256

func (c *setCache) get(value string) *snapshot.LabelSet {
	set := c.sets[value]
	if set == nil {
		set = oneLabel(c.label, value)
		if len(c.sets) < maxCachedSets {
			c.sets[value] = set
		}
	}
	return set
}
