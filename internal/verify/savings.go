package verify

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/jscan"
)

// Savings are how much time a restored sandbox saved by not having to start. Both can be negative.
type Savings struct{ CPU, Wall time.Duration }

// ReadSavings checks the reply to a GetSavings request, and keeps none of its bytes. Any two integers are honest. The error is ErrIncomplete
// or a *Breach.
func ReadSavings(reply control.Reply) (Savings, error) {
	const (
		memberCPU members = 1 << iota
		memberWall
	)
	var saved Savings
	var seen members
	r := reader{Scanner: jscan.New(reply.Untrusted())}
	duration := func(bit members, key string) (d time.Duration) {
		if r.want('0', seen.add(bit), "", key) {
			d = time.Duration(r.integer(""))
		}
		return d
	}
	env := r.envelope(func() {
		for r.Object(); r.more(); {
			switch string(r.Key()) {
			case "CPUTimeSaved":
				saved.CPU = duration(memberCPU, "CPUTimeSaved")
			case "WallTimeSaved":
				saved.Wall = duration(memberWall, "WallTimeSaved")
			default:
				r.Skip()
			}
		}
		if seen != memberCPU|memberWall {
			r.broken(breach(RuleMember, "", "a duration"))
		}
	})
	if err := r.finish(); err != nil {
		return Savings{}, err
	}
	return saved, env.check()
}
