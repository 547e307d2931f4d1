package totals

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Ledger has the totals of all sandboxes that a server observed. It is not safe for concurrent
// use. Its memory grows with the number of groups, which is limited, and not with the number of
// lives: a Life that the caller drops is freed.
type Ledger struct {
	options  Options
	counters []snapshot.TotalsCounter // replaced if one changes, because snapshots share it
	names    [][]byte                 // of counters
	learned  []bool                   // the units of counters are known
	checked  *schema.Schema           // the last registration that was looked at for them

	byName   map[string]*group
	overflow *group // nil: no sandbox is in it
	groups   []*group
	beyond   int64 // sandboxes in the overflow group

	last *snapshot.Totals // the last totals; nil: something has changed since
}

// New returns a Ledger in which all totals are 0.
func New(o Options) *Ledger {
	l := &Ledger{options: o, byName: make(map[string]*group), learned: make([]bool, len(o.Metrics))}
	for _, name := range o.Metrics {
		l.counters = append(l.counters, snapshot.TotalsCounter{Name: name})
		l.names = append(l.names, []byte(name))
	}
	if !o.By.grouped() {
		l.byName[""] = l.addGroup("")
	}
	return l
}

// Registered reports whether registered counters have totals.
func (l *Ledger) Registered() bool { return len(l.names) > 0 }

// Group returns the name of the group of a sandbox, for Begin. namespace and annotation are those of
// the sandbox, as they are; see By.Of.
func (l *Ledger) Group(namespace, annotation string) string {
	return l.options.By.Of(namespace, annotation)
}

// Begin begins a life of a sandbox, at first sight. group is the name of the sandbox's group, which
// users choose and which may have any bytes. older: the sandbox is older than the server, so its first
// values are only bases, and it does not count as started. Other sandboxes count from 0.
//
// Sandboxes are in the group _other if 1,000 groups exist, or if the name is not UTF-8 or has more
// than 128 bytes. On pages, a name that begins with an underscore has another one in front.
func (l *Ledger) Begin(group string, older bool) *Life {
	life := &Life{ledger: l, group: l.groupNamed(group), older: older, bases: make([]int64, sums+len(l.counters))}
	if !older {
		life.grow(sumStarted, 1)
	}
	return life
}

// groupNamed returns the group with the name, or the overflow group.
func (l *Ledger) groupNamed(name string) *group {
	if !l.options.By.grouped() {
		name = ""
	}
	if g := l.byName[name]; g != nil {
		return g
	}
	if len(l.byName) < maxGroups && fits(name) {
		g := l.addGroup(labelOf(name))
		l.byName[name] = g
		return g
	}
	l.beyond++
	l.last = nil
	if l.overflow == nil {
		l.overflow = l.addGroup(overflowGroup)
	}
	return l.overflow
}

// addGroup adds a group. label is the value of its label.
func (l *Ledger) addGroup(label string) *group {
	g := newGroup(label, len(l.counters))
	l.groups = append(l.groups, g)
	l.last = nil
	return g
}

// learn takes over the units of counters from the first registration that has them. Before that, a
// counter counts as one without a unit, and its total is 0.
func (l *Ledger) learn(registered *schema.Schema) {
	if l.checked == registered {
		return
	}
	l.checked = registered
	for i := range l.counters {
		metric := registered.Find(l.names[i])
		if l.learned[i] || metric < 0 || registered.Metrics[metric].Type != schema.Counter {
			continue
		}
		l.learned[i] = true
		if unit := registered.Metrics[metric].Unit; unit != schema.NoUnit {
			l.counters = slices.Clone(l.counters)
			l.counters[i].Unit = unit
			l.last = nil
		}
	}
}

// find returns the index of a counter in a registration, or -1 if it is not there, not a counter, or
// in another unit.
func (l *Ledger) find(registered *schema.Schema, counter int) int {
	metric := registered.Find(l.names[counter])
	if metric < 0 {
		return -1
	}
	if m := &registered.Metrics[metric]; m.Type != schema.Counter || m.Unit != l.counters[counter].Unit {
		return -1
	}
	return metric
}

// View returns the totals as they are now. They are the same as the last ones if nothing has changed.
func (l *Ledger) View() *snapshot.Totals {
	if l.last != nil {
		return l.last
	}
	l.last = &snapshot.Totals{
		Started:  l.options.Start,
		Measured: !l.options.NoUsage,
		Grouped:  l.options.By.grouped(),
		Groups:   make([]snapshot.TotalsGroup, 0, len(l.groups)),
		Named:    int64(len(l.byName)),
		Overflow: l.beyond,
		Counters: l.counters,
	}
	numbers := make([]int64, 0, len(l.groups)*(len(l.counters)+len(snapshot.Outcomes))) // one allocation for all groups
	for _, g := range l.groups {
		l.last.Groups = append(l.last.Groups, g.view(&numbers))
	}
	return l.last
}
