package metricserver

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/totals"
)

// totalsOf returns the default of Options.TotalsBy.
func (o *Options) totalsOf() string {
	if o.DropIn && len(o.TotalsMetrics) == 0 {
		return TotalsOff
	}
	return TotalsByNone
}

func checkTotalsBy(text string) error {
	if _, err := totals.ParseBy(text); err != nil {
		return fmt.Errorf("%w, or %s", err, TotalsOff)
	}
	return nil
}

// ledger returns an empty ledger of totals, and the annotation by which it is grouped. Without
// totals it is nil.
func (o *Options) ledger() (ledger *totals.Ledger, annotation string) {
	by, err := totals.ParseBy(o.TotalsBy)
	if err != nil { // it is TotalsOff: New has checked all other values
		return nil, ""
	}
	return totals.New(totals.Options{By: by, Metrics: o.TotalsMetrics, Start: o.StartTime, NoUsage: !o.measures()}), by.Annotation()
}
