package page

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// never is an expression within the limits that matches no name.
const never = `^x^`

func mustCompile(t *testing.T, f *Filters, text string) *Filter {
	t.Helper()
	filter, err := f.Compile(text)
	if err != nil {
		t.Fatalf("Compile(%.60q): %v", text, err)
	}
	return filter
}

func TestMatch(t *testing.T) {
	check := func(text, name string, want bool) {
		t.Helper()
		if got := mustCompile(t, NewFilters(), text).Match(name); got != want {
			t.Errorf("%q matches %q: %v, want %v", text, name, got, want)
		}
	}
	// Expressions match anywhere in the name.
	check(`fs`, "fs_opens", true)
	check(`^opens`, "fs_opens", false)
	check(`opens$`, "fs_opens", true)
	check(`^opens|fs`, "fs_opens", true)
	check(`^(opens|reads)$`, "fs_opens", false)
	check(never, "x", false)

	// The syntax and the meaning are those of the regexp package.
	check(`(?i)FS_`, "fs_opens", true)
	check(`\bnet\b`, "a_net", false)
	check(`^\pL+$`, "Straße", true)
	check(`^.$`, "\n", false)
	check(`\Q.*\E`, "a.*", true)
}

func TestNoFilter(t *testing.T) {
	filter, err := NewFilters().Compile("")
	if filter != nil || err != nil {
		t.Errorf("Compile(\"\") = %v, %v, want nil", filter, err)
	}
	if !filter.Match("fs_opens") {
		t.Error("nil does not match everything")
	}
}

const tooCostly = "costs more than 10000 steps: use fewer repetitions, alternatives and Unicode classes"

func TestRefused(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		filters := NewFilters()
		if filter, err := filters.Compile(text); filter != nil || err == nil || err.Error() != want {
			t.Errorf("Compile(%.60q) gives the error %v, want %q", text, err, want)
		}
		if len(filters.cache.young) != 0 {
			t.Errorf("%.60q is refused and cached", text)
		}
	}
	repeat := strings.Repeat

	// Invalid regular expressions, with the errors of the regexp package.
	for _, text := range []string{"(", ")", "[", "*", "x**", "(?=x)", "\xff", "[b-a]", `\p{None}`, `\p{Greek`, `\p`, `\`, `(x{100}){100}`} {
		_, err := regexp.Compile(text)
		check(text, err.Error())
	}
	check("(", "error parsing regexp: missing closing ): `(`")

	// Too long.
	check(repeat("x", 4097), "longer than 4096 bytes")
	check(repeat("(", 4097), "longer than 4096 bytes")

	// Too many instructions. Repetitions multiply.
	check(repeat("x{1000}", 11), tooCostly)
	check(repeat(".{0,1000}", 6), tooCostly)
	check(repeat("(x{10}){100}", 11), tooCostly)
	check(repeat("((ab){9,}){100}", 6), tooCostly)
	check("("+repeat("x?", 6)+"){1000}", tooCostly)

	// Too many ranges, of Unicode classes and others.
	check(repeat(`\pL`, 16), tooCostly)
	check(repeat(`\PL`, 16), tooCostly)
	check(`[`+repeat(`\pL`, 16)+`]`, tooCostly)
	check(`(?i)[`+repeat(`\pL`, 1000)+`]`, tooCostly)
	check(repeat(`[^\p{^L}]`, 16), tooCostly)
	check(repeat(`\p{ l e t t e r }`, 16), tooCostly)

	// Expanded to too many characters, because case is ignored.
	check(`(?i)[A-\x{1e942}]`, tooCostly)
	check("(?i)[A-\U0001e942]", tooCostly)
	check(`[^a](?s-m:x)(?i:[--\x{1e942}])`, tooCostly)
	check(`(?i)`+repeat(`[A-\377]`, 30), tooCostly)
	check(`(?i)`+repeat(`\w`, 200), tooCostly)
	check(`(?i)[`+repeat(`\S`, 200)+`]`, tooCostly)
	check(`(?i)`+repeat(`[[:^alpha:]]`, 100), tooCostly)
	check(`(?i)`+repeat(`[a-z]`, 200), tooCostly)
}

func TestNotRefused(t *testing.T) {
	check := func(text string) {
		t.Helper()
		if _, err := NewFilters().Compile(text); err != nil {
			t.Errorf("Compile(%.60q): %v", text, err)
		}
	}
	repeat := strings.Repeat
	check(repeat("x", 4096))
	check("^(" + repeat("gofer_opens_host|", 200) + "fs_opens)$")
	check(repeat("(x)|", 1000))
	check(repeat("x{999}", 10))
	check(repeat(`[a-z_]{0,9}`, 300))
	check(repeat(`\w`, 2000))
	check(repeat(`\pL`, 14))
	check(`\p{Any}\p{Greek}\PL`)
	check(`(?i)^(fs|net)_[a-z0-9_]+\d\w\S[[:alpha:]][à-ÿ][^\x00-\x7f]$`)
	check(`[A-\x{1e942}]`)
	check(strings.Repeat("(", 900) + strings.Repeat(")", 900))
}

// TestTextIsCompiledOnce: the same text returns the same filter while it is one of the 16 used last. At most
// 32 are cached, and a filter that is dropped stays valid.
func TestTextIsCompiledOnce(t *testing.T) {
	filters := NewFilters()
	text := func(i int) string { return fmt.Sprintf("^x{%d}$", i+1) }
	first, kept := mustCompile(t, filters, text(0)), make([]*Filter, maxFilters)
	for i := range 10 * maxFilters {
		at := i % maxFilters
		filter := mustCompile(t, filters, text(1+at))
		if kept[at] != nil && kept[at] != filter {
			t.Fatalf("text %d is compiled again", at)
		}
		kept[at] = filter
	}
	for i := range 64 {
		mustCompile(t, filters, fmt.Sprint(i))
		if n := len(filters.cache.young) + len(filters.cache.old); n > 32 {
			t.Fatalf("%d filters are cached", n)
		}
	}
	if !first.Match("x") || first.Match("xx") {
		t.Error("the dropped filter matches something else")
	}
	if mustCompile(t, filters, text(0)) == first {
		t.Error("the filter was not dropped")
	}
}

// TestKeysAreCloned: the caches do not keep the memory of requests and registrations of which texts and names
// are a part, also not if they are used again.
func TestKeysAreCloned(t *testing.T) {
	const text = "^fs_"
	if filter := mustCompile(t, NewFilters(), text); unsafe.StringData(filter.re.String()) == unsafe.StringData(text) {
		t.Error("a filter keeps the text of the request")
	}
	c := cache[bool]{most: 1}
	for _, key := range []string{text, "other"} {
		c.add(key, true, 1)
	}
	if _, known := c.get(text, 1); !known {
		t.Error("the older generation is gone")
	}
	for key := range c.young {
		if key != text || unsafe.StringData(key) == unsafe.StringData(text) {
			t.Errorf("the cache keeps the key %s", key)
		}
	}
}

// TestResultsAreBounded: the cache of results is limited in bytes for any names. Names in use stay.
func TestResultsAreBounded(t *testing.T) {
	filters := NewFilters()
	filter := mustCompile(t, filters, never)
	size := func() (bytes int) {
		for _, generation := range []map[string]bool{filter.results.young, filter.results.old} {
			for name := range generation {
				bytes += len(name) + resultOverhead
			}
		}
		return bytes
	}
	const longest = 4 << 10
	for _, length := range []int{1, 30, longest} {
		for i := range 10_000 {
			filter.Match(fmt.Sprintf("%0*d", length, i))
			filter.Match("in use")
		}
		if got, limit := size(), 2*(maxResultBytes+longest+resultOverhead); got > limit {
			t.Errorf("names of %d bytes: results take %d bytes, more than %d", length, got, limit)
		}
	}
	if _, known := filter.cached("in use"); !known {
		t.Error("the result of a name in use is dropped")
	}
}

// TestCachedFilterDoesNotWait: neither the filter nor its results need the gate once they are
// cached. The test deadlocks if they do.
func TestCachedFilterDoesNotWait(t *testing.T) {
	filters := NewFilters()
	mustCompile(t, filters, "^fs_").Match("fs_opens")
	filters.gate.Lock() // as if another filter were being compiled or run
	defer filters.gate.Unlock()
	if !mustCompile(t, filters, "^fs_").Match("fs_opens") {
		t.Error("the result is another one")
	}
	if _, err := filters.Compile(strings.Repeat("x", maxText+1)); err == nil {
		t.Error("a text that is too long is not refused")
	}
}

// TestConcurrentRequests: several requests compile and run the same filters.
func TestConcurrentRequests(t *testing.T) {
	filters := NewFilters()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 10 {
				filter, err := filters.Compile(fmt.Sprintf("^a{%d}$", i))
				if err != nil {
					t.Error(err)
					return
				}
				for n := range 20 {
					if got := filter.Match(strings.Repeat("a", n)); got != (n == i) {
						t.Errorf("%d matches %d: %v", i, n, got)
					}
				}
			}
		})
	}
	wg.Wait()
}
