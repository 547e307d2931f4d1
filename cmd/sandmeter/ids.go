package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/metricclient"
)

// matchID returns the IDs that match an argument: the equal one if it exists, else all that begin
// with it.
func matchID(arg string, ids []string) []string {
	if slices.Contains(ids, arg) {
		return []string{arg}
	}
	var matches []string
	for _, id := range ids {
		if strings.HasPrefix(id, arg) {
			matches = append(matches, id)
		}
	}
	return matches
}

// maxCandidates is the maximum number of IDs in an error.
const maxCandidates = 10

// errAmbiguous returns the error for an argument that matches several IDs.
func errAmbiguous(arg string, candidates []string) error {
	more := ""
	if n := len(candidates) - maxCandidates; n > 0 {
		candidates, more = candidates[:maxCandidates], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("ID %q is ambiguous: it matches %s%s; give a longer prefix", arg, strings.Join(candidates, ", "), more)
}

// sandboxesByContainer returns the IDs of sandboxes by the IDs of their containers. They are from
// the content of state files, or from the names of unreadable ones.
func sandboxesByContainer(listing state.Listing) map[string][]string {
	sandboxes := make(map[string][]string)
	for _, s := range listing.Sandboxes {
		for _, c := range s.Containers {
			sandboxes[c.ID] = append(sandboxes[c.ID], s.ID)
		}
	}
	for _, e := range listing.Errors {
		container, sandbox, _ := strings.Cut(strings.TrimSuffix(e.Name, ".state"), "_sandbox:")
		sandboxes[container] = append(sandboxes[container], sandbox)
	}
	return sandboxes
}

// findSandbox returns the ID of the sandbox that an argument matches: the ID of any of its
// containers, or a unique prefix of one. It returns "" if there is none.
func findSandbox(listing state.Listing, arg string) (string, error) {
	byContainer := sandboxesByContainer(listing)
	containers := matchID(arg, slices.Sorted(maps.Keys(byContainer)))
	var sandboxes []string
	for _, id := range containers {
		sandboxes = append(sandboxes, byContainer[id]...)
	}
	slices.Sort(sandboxes)
	switch sandboxes = slices.Compact(sandboxes); {
	case len(sandboxes) == 0:
		return "", nil
	case len(sandboxes) == 1:
		return sandboxes[0], nil
	case slices.Contains(sandboxes, arg):
		return arg, nil
	case len(containers) == 1:
		return "", errAmbiguous(arg, sandboxes)
	}
	return "", errAmbiguous(arg, containers)
}

// matchSandbox returns the ID of the sandbox on a page that an argument matches, or the argument if
// there is none.
func matchSandbox(arg string, page metricclient.MetricData) (string, error) {
	if arg == "" {
		return "", nil
	}
	switch matches := matchID(arg, sandboxesOn(page)); len(matches) {
	case 0:
		return arg, nil
	case 1:
		return matches[0], nil
	default:
		return "", errAmbiguous(arg, matches)
	}
}

// sandboxesOn returns the IDs of the sandboxes on a page, sorted.
func sandboxesOn(page metricclient.MetricData) []string {
	ids := make(map[string]bool)
	for line := range strings.Lines(string(page)) {
		if id, ok := sandboxOf(line); ok {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// sandboxOf returns the value of the sandbox label of a line. The text that it searches for cannot
// be in the value of another label, where quotes are escaped.
func sandboxOf(line string) (id string, ok bool) {
	if strings.HasPrefix(line, "#") {
		return "", false
	}
	for _, before := range []string{"{", ","} {
		if _, value, found := strings.Cut(line, before+`sandbox="`); found {
			id, _, ok = strings.Cut(value, `"`)
			return id, ok
		}
	}
	return "", false
}
