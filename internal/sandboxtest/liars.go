package sandboxtest

import "slices"

// A Liar is a sandbox that does what no honest one does: a real listener on a real socket with a real
// state file, and one thing wrong.
type Liar struct {
	Name     string // "counter-goes-back": unique, and the name of what Liars and users know it by
	Describe string // half a sentence
	Want     string // the reason for which a server should refuse it; empty where it need not

	// Spec makes the sandbox a liar: by its behavior, or by what its files say.
	Spec func(*Spec)
	// Meddle, if set, runs beside the sandbox, and ends when stopped is closed.
	Meddle func(s *Sandbox, stopped <-chan struct{})
}

// Start starts the liar, as which the given spec tells the rest. The spec's values should be left alone:
// many lies are about the values of Idle.
func (l Liar) Start(root string, spec Spec) (*Sandbox, error) {
	if l.Spec != nil {
		l.Spec(&spec)
	}
	s, err := Start(root, spec)
	if err == nil && l.Meddle != nil {
		s.running.Go(func() { l.Meddle(s, s.stopped) })
	}
	return s, err
}

// Liars returns all liars. The order is that of their telling: first those that waste time and space,
// then those that talk nonsense, then those that lie well.
func Liars() []Liar {
	all := slices.Concat(
		stallingLiars(),
		nonsenseLiars(),
		memberLiars(),
		numberLiars(),
		pointLiars(),
		timeLiars(),
		historyLiars(),
		histogramLiars(),
		foreignTextLiars(),
		savingsLiars(),
		stateLiars(),
		registrationLiars(),
	)
	for i := range all {
		all[i].Want = wants[all[i].Name]
	}
	return all
}

// does returns a Liar that lies on its control socket.
func does(name, describe string, b Behavior) Liar {
	return Liar{Name: name, Describe: describe, Spec: func(s *Spec) { s.Behavior = b }}
}

// is returns a Liar that lies in its state file.
func is(name, describe string, spec func(*Spec)) Liar {
	return Liar{Name: name, Describe: describe, Spec: spec}
}
