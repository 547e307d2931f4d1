// Package liars has hostile sandboxes of all kinds, for tests of a metric server. A [Liar] is a
// simulated sandbox of internal/simulate that does one thing no honest sandbox does. The package
// does not know for which reason a server refuses a liar; package testkit has the reasons.
package liars

import "github.com/sandmeter/sandmeter/internal/simulate"

// A Liar is a simulated sandbox that does one thing no honest sandbox does.
type Liar struct {
	Name     string // unique, such as "counter-goes-back"
	Topic    string // group of similar liars, such as "history"
	Describe string // predicate, such as "has a counter that falls by one"

	// Spec changes the sandbox's behavior or its files.
	Spec func(*simulate.Spec)
	// Meddle, if set, runs in a goroutine while the sandbox runs, and returns when stopped is
	// closed.
	Meddle func(s *simulate.Sandbox, stopped <-chan struct{})
}

// Start starts the liar under the runtime root. Its Spec changes the given spec, which should have
// the default points and behavior, since most lies change those.
func (l Liar) Start(root string, spec simulate.Spec) (*simulate.Sandbox, error) {
	if l.Spec != nil {
		l.Spec(&spec)
	}
	s, err := simulate.Start(root, spec)
	if err == nil && l.Meddle != nil {
		s.Go(func(stopped <-chan struct{}) { l.Meddle(s, stopped) })
	}
	return s, err
}

// All returns all liars by topic, from obvious to subtle: liars that waste time and space, liars
// that send nonsense, and liars whose replies are nearly valid.
func All() []Liar {
	var all []Liar
	for _, topic := range []struct {
		name  string
		liars []Liar
	}{
		{"stalling", stallingLiars()},
		{"nonsense", nonsenseLiars()},
		{"field", fieldLiars()},
		{"number", numberLiars()},
		{"point", pointLiars()},
		{"time", timeLiars()},
		{"history", historyLiars()},
		{"histogram", histogramLiars()},
		{"text", foreignTextLiars()},
		{"savings", savingsLiars()},
		{"state", stateLiars()},
		{"registration", registrationLiars()},
	} {
		for _, l := range topic.liars {
			l.Topic = topic.name
			all = append(all, l)
		}
	}
	return all
}

// does returns a Liar that lies in its replies.
func does(name, describe string, b simulate.Behavior) Liar {
	return Liar{Name: name, Describe: describe, Spec: func(s *simulate.Spec) { s.Behavior = b }}
}

// is returns a Liar that lies in its state file.
func is(name, describe string, spec func(*simulate.Spec)) Liar {
	return Liar{Name: name, Describe: describe, Spec: spec}
}
