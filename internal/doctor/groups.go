package doctor

import (
	"slices"
	"strings"
)

// maxGroups is how many findings of a kind have a text of their own. Sandboxes of the others share
// the last one, so that a node with a thousand different errors has a short list.
const maxGroups = 5

// lists unite findings about several places that have the same cause and reason. Findings with
// further reasons share the last one, so that other users cannot make a long list.
type lists struct{ all []Finding }

// add adds a place to the list with the finding.
func (l *lists) add(f Finding, place string) {
	i := slices.IndexFunc(l.all, func(other Finding) bool { return other.Cause == f.Cause && other.Why == f.Why })
	if i < 0 && len(l.all) >= maxGroups {
		i = maxGroups
		f.Why = "other reasons: --json has those of each"
	}
	if i < 0 || i == len(l.all) {
		i = len(l.all)
		l.all = append(l.all, f)
	}
	l.all[i] = l.all[i].at(place)
}

// findings returns a finding per list, in the order in which lists began. what is what those say
// that have several places.
func (l *lists) findings(what func(n int) string) []Finding {
	for i := range l.all {
		if n := len(l.all[i].Where); n > 1 {
			l.all[i].What = what(n)
		}
	}
	return l.all
}

// groups unite equal findings of several sandboxes.
type groups struct {
	all    []*group
	byText map[string]*group
	kinds  map[string]int // groups by what they say
}

type group struct {
	finding   Finding
	sandboxes []*Sandbox
}

// add adds a sandbox to the group with the finding. The number of sandboxes will precede what the
// finding says.
func (g *groups) add(s *Sandbox, f Finding) {
	if g.byText == nil {
		g.byText, g.kinds = make(map[string]*group), make(map[string]int)
	}
	kind := f.Cause + "\n" + f.What
	text := strings.Join(append([]string{kind, f.Why, f.Change}, f.Where...), "\n")
	if g.byText[text] == nil && g.kinds[kind] >= maxGroups {
		f.Why, f.Where = "other errors: --json has those of each sandbox", []string{}
		text = kind
	}
	if g.byText[text] == nil {
		g.byText[text] = &group{finding: f}
		g.all = append(g.all, g.byText[text])
		g.kinds[kind]++
	}
	g.byText[text].sandboxes = append(g.byText[text].sandboxes, s)
}

// findings returns a finding per group, in the order in which groups began.
func (g *groups) findings() []Finding {
	var findings []Finding
	for _, group := range g.all {
		f, n := group.finding, len(group.sandboxes)
		f.What = count(n, "sandbox") + ": " + f.What
		findings = append(findings, f.of(group.sandboxes...))
	}
	return findings
}
