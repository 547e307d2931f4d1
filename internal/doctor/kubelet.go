package doctor

import (
	"fmt"
	"slices"
)

// The causes of kubelet.
var (
	sumsDouble     = Cause{"sums_double", Problem}
	kubeletUnknown = Cause{"kubelet_unknown", Warning}
)

var kubeletCheck = Check{"kubelet", []Cause{sumsDouble, kubeletUnknown}, judgeKubelets}

// judgeKubelets judges whether kubelet has the figures of sandboxes too.
func judgeKubelets(o *Observed) (string, []Finding) {
	var findings []Finding
	for _, s := range o.Relevant() {
		if !s.Settings.cadvisorNames() {
			continue
		}
		for _, k := range o.Kubelets {
			switch {
			case k.StatsFromCRI:
				findings = append(findings, sumsDouble.finding("sums over containers count sandboxes twice",
					fmt.Sprintf("kubelet's /metrics/cadvisor has the containers of sandboxes (%s), and so has %s with --usage=%s", k.SetBy, s.name(), s.Settings.Usage),
					"run the server with --usage=own, or leave out the feature gate").at(process(k.PID), s.name()))
			case k.Err != "":
				findings = append(findings, kubeletUnknown.finding("whether sums over containers count sandboxes twice is unknown", k.Err,
					"see whether kubelet runs with the feature gate PodAndContainerStatsFromCRI; if so, run the server with --usage=own").at(process(k.PID), s.name()))
			}
		}
	}
	switch {
	case len(o.Kubelets) == 0:
		return "no kubelet is visible", findings
	case slices.ContainsFunc(o.Kubelets, func(k Kubelet) bool { return k.StatsFromCRI }):
		return "kubelet has the figures of sandboxes too: use --usage=own", findings
	}
	return "kubelet has no figures of containers in sandboxes", findings
}
