package metricserver

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/totals"
)

// Values of Options.TotalsBy.
const (
	// TotalsOff has no totals.
	TotalsOff = "off"
	// TotalsByNone has totals over all sandboxes.
	TotalsByNone = "none"
	// TotalsByNamespace has totals for each Kubernetes namespace.
	TotalsByNamespace = "namespace"
	// TotalsByAnnotation is followed by the key of an annotation, and has totals for each of its values.
	TotalsByAnnotation = "annotation:"
)

// totalsOf returns the default of Options.TotalsBy.
func (o *Options) totalsOf() string {
	if o.DropIn && len(o.TotalsMetrics) == 0 {
		return TotalsOff
	}
	return TotalsByNone
}

// checkTotals checks the options about totals, after defaults are set.
func (o *Options) checkTotals() error {
	_, err := o.newTotals()
	if o.TotalsBy == TotalsOff && len(o.TotalsMetrics) > 0 {
		return fmt.Errorf("totals of metrics with totals off: use %s, %s or %sKEY", TotalsByNone, TotalsByNamespace, TotalsByAnnotation)
	}
	return err
}

// newTotals returns the totals with their grouping; nil: there are none.
func (o *Options) newTotals() (*totals.Options, error) {
	if o.TotalsBy == TotalsOff {
		return nil, nil
	}
	by, err := totals.ParseBy(o.TotalsBy)
	if err != nil {
		return nil, fmt.Errorf("totals by %q: %w, or %s", o.TotalsBy, err, TotalsOff)
	}
	t := &totals.Options{By: by, Metrics: o.TotalsMetrics, Start: o.StartTime, NoUsage: o.Usage == UsageOff}
	return t, families.CheckTotals(t.Metrics)
}

// ledger returns an empty ledger of totals, and the annotation by which it is grouped. Without
// totals it is nil.
func (o *Options) ledger() (ledger *totals.Ledger, annotation string) {
	t, err := o.newTotals()
	if t == nil || err != nil { // the options are checked, so there is no error
		return nil, ""
	}
	return totals.New(*t), t.By.Annotation()
}
