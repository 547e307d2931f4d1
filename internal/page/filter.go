package page

import (
	"container/list"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// maxFilters is how many filters are cached. A server has a handful of scrape jobs, each with at
// most two filters.
const maxFilters = 32

// Filters compiles the filters of requests and caches the last 32; the least recently used one is
// dropped first. It is safe for concurrent use.
type Filters struct {
	gate gate

	mu     sync.Mutex // guards the fields below; never held while a filter is compiled or run
	byText map[string]*list.Element
	recent *list.List // of *Filter, the most recently used one first
}

// A gate is a lock that is held while a filter is compiled or run, since HTTP clients can send the
// costliest expressions within the limits in any number of requests. With the gate they use at most
// one core, and the memory of one filter at a time. Pages without a filter, and cached filters and
// results, do not need the gate. So a hostile client slows down only filters that are not cached.
type gate struct {
	sync.Mutex
	compiled int // filters compiled so far, for tests
	run      int // names matched so far that had no cached result, for tests
}

// NewFilters returns an empty cache of filters.
func NewFilters() *Filters {
	return &Filters{byText: make(map[string]*list.Element), recent: list.New()}
}

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
	if known := f.cached(text); known != nil {
		return known, nil
	}
	f.gate.Lock()
	defer f.gate.Unlock()
	if known := f.cached(text); known != nil { // compiled for another request in the meantime
		return known, nil
	}
	f.gate.compiled++
	re, err := compile(text)
	if err != nil {
		return nil, err
	}
	// A clone, since the text is a part of a request and would keep its memory.
	filter := &Filter{text: strings.Clone(text), re: re, gate: &f.gate}
	f.add(filter)
	return filter, nil
}

// cached returns the filter for a text, or nil if it is not cached.
func (f *Filters) cached(text string) *Filter {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.byText[text]
	if e == nil {
		return nil
	}
	f.recent.MoveToFront(e)
	return e.Value.(*Filter)
}

// add caches a filter that is not cached yet.
func (f *Filters) add(filter *Filter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byText[filter.text] = f.recent.PushFront(filter)
	if f.recent.Len() > maxFilters {
		oldest := f.recent.Remove(f.recent.Back()).(*Filter)
		delete(f.byText, oldest.text)
	}
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
	text string
	re   *regexp.Regexp
	gate *gate

	mu      sync.Mutex // never held while the filter runs
	results results
}

// String returns the text of the filter, "" if it is nil.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
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
	f.gate.run++
	match := f.re.MatchString(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.results.add(strings.Clone(name), match) // a clone, since a name can be a part of a registration and would keep its memory
	return match
}

func (f *Filter) cached(name string) (match, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.results.get(name)
}

const (
	maxResultBytes = 128 << 10 // of a generation: the results of 1,300 names of 30 bytes
	resultOverhead = 64        // bytes per result besides the name, about
)

// results are the cached results of a filter, in two generations. When the younger generation is
// full, the older one is dropped, with all names that have not been used since. So names of
// sandboxes that are gone do not stay, and the size is limited for any names that sandboxes
// register.
type results struct {
	young, old map[string]bool
	bytes      int // of young
}

func (r *results) get(name string) (match, known bool) {
	if match, known = r.young[name]; known {
		return match, true
	}
	if match, known = r.old[name]; known {
		r.add(name, match)
	}
	return match, known
}

// add adds a result and keeps the name.
func (r *results) add(name string, match bool) {
	if r.young == nil || r.bytes > maxResultBytes {
		r.young, r.old, r.bytes = make(map[string]bool), r.young, 0
	}
	r.young[name] = match
	r.bytes += len(name) + resultOverhead
}
