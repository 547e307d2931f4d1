package metricserver

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/families"
)

// Usage selects what the server measures of each sandbox on the host, besides what the sandbox
// reports.
type Usage string

// The values of Usage.
const (
	// UsageOff measures nothing.
	UsageOff Usage = "off"
	// UsageOwn measures each sandbox's CPU time, memory, threads, pressure and network, under names
	// that begin with sandmeter_. It reads /proc and the cgroups of the sandboxes, with every
	// collection. A sandbox with a cgroup of its own is also asked what its containers used, and its
	// CPU time is split among them.
	UsageOwn Usage = "own"
	// UsageCadvisor measures the same, under the names and labels of cAdvisor, which Kubernetes has
	// for containers of other runtimes. kubelet with the feature gate PodAndContainerStatsFromCRI
	// may have the same series.
	UsageCadvisor Usage = "cadvisor"
	// UsageBoth measures the same, under the names of both.
	UsageBoth Usage = "both"
)

// names returns the names that pages have for the figures.
func (u Usage) names() families.UsageNames {
	switch u {
	case UsageCadvisor:
		return families.CadvisorNames
	case UsageBoth:
		return families.BothNames
	}
	return families.OwnNames
}

// usageOf returns the default of Options.Usage.
func usageOf(dropIn bool) Usage {
	if dropIn {
		return UsageOff
	}
	return UsageOwn
}

func (u Usage) check() error {
	switch u {
	case UsageOff, UsageOwn, UsageCadvisor, UsageBoth:
		return nil
	}
	return fmt.Errorf("usage %q: use own, cadvisor, both or off", string(u))
}
