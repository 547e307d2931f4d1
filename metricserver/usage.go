package metricserver

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/families"
)

// measures reports whether the server measures sandboxes on the host.
func (o *Options) measures() bool { return !slices.Contains(o.Usage, UsageOff) }

// usageNames returns the names that pages have for the figures.
func (o *Options) usageNames() families.UsageNames {
	switch own, cadvisor := slices.Contains(o.Usage, UsageOwn), slices.Contains(o.Usage, UsageCadvisor); {
	case own && cadvisor:
		return families.BothNames
	case cadvisor:
		return families.CadvisorNames
	}
	return families.OwnNames
}
