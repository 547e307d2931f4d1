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
	var saved Savings
	r := reader{Scanner: jscan.New(reply.Untrusted())}
	err := r.envelope(func() {
		r.object(2,
			field{"CPUTimeSaved", '0', func() { saved.CPU = time.Duration(r.integer()) }},
			field{"WallTimeSaved", '0', func() { saved.Wall = time.Duration(r.integer()) }})
	})
	if err != nil {
		return Savings{}, err
	}
	return saved, nil
}
