package verify

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/jscan"
)

// Savings are how much time a sandbox saved because it was restored from a checkpoint. Both can be
// negative.
type Savings struct{ CPU, Wall time.Duration }

// ReadSavings checks the reply to a GetSavings request, and keeps none of its bytes. Any two
// integers are accepted. The error is ErrIncomplete or a *Breach.
func ReadSavings(reply control.Reply) (Savings, error) {
	const (
		fieldCPU fieldSet = 1 << iota
		fieldWall
	)
	var saved Savings
	var seen fieldSet
	r := reader{Scanner: jscan.New(reply.Untrusted())}
	duration := func(bit fieldSet, key string) (d time.Duration) {
		if r.want('0', seen.add(bit), "", key) {
			d = time.Duration(r.integer(""))
		}
		return d
	}
	env := r.envelope(func() {
		for r.Object(); r.more(); {
			switch string(r.Key()) {
			case "CPUTimeSaved":
				saved.CPU = duration(fieldCPU, "CPUTimeSaved")
			case "WallTimeSaved":
				saved.Wall = duration(fieldWall, "WallTimeSaved")
			default:
				r.Skip()
			}
		}
		if seen != fieldCPU|fieldWall {
			r.broken(breach(RuleField, "", "a duration"))
		}
	})
	if err := r.finish(); err != nil {
		return Savings{}, err
	}
	return saved, env.check()
}
