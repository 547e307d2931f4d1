package page

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// maxFilters is how many filters a generation of the cache has. A server has a handful of scrape jobs,
// each with at most two filters.
const maxFilters = 16

// Filters compiles the filters of requests and caches at least the 16 that were used last, and at most 32.
// It is safe for concurrent use.
type Filters struct {
	// gate is held while a filter is compiled or run, since HTTP clients can send the costliest
	// expressions within the limits in any number of requests. With the gate they use at most one core,
	// and the memory of one filter at a time. Pages without a filter, and cached filters and results, do
	// not need the gate. So a hostile client slows down only filters that are not cached.
	gate sync.Mutex

	mu    sync.Mutex // never held while a filter is compiled or run
	cache cache[*Filter]
}

// NewFilters returns an empty cache of filters.
func NewFilters() *Filters { return &Filters{cache: cache[*Filter]{most: maxFilters}} }

// Compile returns the filter for a regular expression in the syntax of the regexp package. It
// returns nil for "", which matches everything. The same text returns the same Filter while it is
// cached. A Filter stays valid when it is dropped from the cache. Refused texts are not cached. The
// error is that of the regexp package, or names the limit that the text exceeds.
func (f *Filters) Compile(text string) (*Filter, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("longer than %d bytes", maxText)
	}
	if filter, known := f.cached(text); known {
		return filter, nil
	}
	f.gate.Lock()
	defer f.gate.Unlock()
	if filter, known := f.cached(text); known { // compiled for another request in the meantime
		return filter, nil
	}
	re, err := compile(strings.Clone(text)) // which keeps the text, and that is a part of a request
	if err != nil {
		return nil, err
	}
	filter := &Filter{re: re, gate: &f.gate, results: cache[bool]{most: maxResultBytes}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cache.add(text, filter, 1)
	return filter, nil
}

func (f *Filters) cached(text string) (filter *Filter, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cache.get(text, 1)
}

// compile parses and compiles a text within the limits.
func compile(text string) (*regexp.Regexp, error) {
	if classCost(text) > maxCost {
		return nil, errTooCostly
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if treeCost(tree) > maxCost {
		return nil, errTooCostly
	}
	return regexp.Compile(text)
}

var errTooCostly = fmt.Errorf("costs more than %d steps: use fewer repetitions, alternatives and Unicode classes", maxCost)

// A Filter selects metrics or capabilities by name. It is safe for concurrent use. The nil Filter
// matches everything.
type Filter struct {
	re   *regexp.Regexp
	gate *sync.Mutex

	mu      sync.Mutex // never held while the filter runs
	results cache[bool]
}

// Match reports whether the expression matches anywhere in the name. Results are cached, so that a
// costly expression is run once per name and not once per page. Without a cached result Match may
// wait for other filters that are compiled or run.
func (f *Filter) Match(name string) bool {
	if f == nil {
		return true
	}
	if match, known := f.cached(name); known {
		return match
	}
	f.gate.Lock()
	defer f.gate.Unlock()
	if match, known := f.cached(name); known { // run for another page in the meantime
		return match
	}
	match := f.re.MatchString(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.results.add(name, match, len(name)+resultOverhead)
	return match
}

func (f *Filter) cached(name string) (match, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.results.get(name, len(name)+resultOverhead)
}

const (
	maxResultBytes = 128 << 10 // of a generation: the results of 1,300 names of 30 bytes
	resultOverhead = 64        // bytes per result besides the name, about
)

// A cache keeps values in two generations. When the younger generation is full, the older one is
// dropped, with all values that have not been used since. So results for names of sandboxes that are gone
// do not stay, and the size is limited for any names that sandboxes register.
type cache[V any] struct {
	most       int // cost of a full generation
	young, old map[string]V
	cost       int // of young
}

func (c *cache[V]) get(key string, cost int) (value V, known bool) {
	if value, known = c.young[key]; known {
		return value, true
	}
	if value, known = c.old[key]; known {
		c.add(key, value, cost)
	}
	return value, known
}

// add adds a value. The key is cloned, since it is a part of a request or can be one of a registration, and
// would keep its memory.
func (c *cache[V]) add(key string, value V, cost int) {
	if c.young == nil || c.cost >= c.most {
		c.young, c.old, c.cost = make(map[string]V), c.young, 0
	}
	c.young[strings.Clone(key)] = value
	c.cost += cost
}
