// Package liars has every kind of sandbox that does what no honest one does, for tests of a metric server. A [Liar] makes a
// simulated sandbox of internal/simulate lie; the reason for which a server refuses it is not part of the package.
package liars

import "github.com/sandmeter/sandmeter/internal/simulate"

// A Liar is a sandbox that does what no honest one does: a real listener on a real socket with a real
// state file, and one thing wrong.
type Liar struct {
	Name     string // "counter-goes-back"; no other liar has it
	Topic    string // "history": what else is near
	Describe string // "has a counter that falls by one"

	// Spec makes the sandbox a liar: by its behavior, or by what its files say.
	Spec func(*simulate.Spec)
	// Meddle, if set, runs beside the sandbox, and ends when stopped is closed.
	Meddle func(s *simulate.Sandbox, stopped <-chan struct{})
}

// Start starts the liar under the runtime root. The spec says what the lie leaves open; its points are to
// be those of Idle, and its behavior Honest, since those are what most lies change.
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

// All returns all liars, by topic: first those that waste time and space, then those that talk nonsense,
// then those that lie well.
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

// does returns a Liar that lies on its control socket.
func does(name, describe string, b simulate.Behavior) Liar {
	return Liar{Name: name, Describe: describe, Spec: func(s *simulate.Spec) { s.Behavior = b }}
}

// is returns a Liar that lies in its state file.
func is(name, describe string, spec func(*simulate.Spec)) Liar {
	return Liar{Name: name, Describe: describe, Spec: spec}
}
