package metricserver

import (
	"cmp"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// buildInfo returns the labels of sandmeter_build_info.
func (o *Options) buildInfo() []snapshot.Label {
	return []snapshot.Label{
		{Name: "goarch", Value: runtime.GOARCH},
		{Name: "goos", Value: runtime.GOOS},
		{Name: "goversion", Value: runtime.Version()},
		{Name: "version", Value: cmp.Or(o.Version, "unknown")},
	}
}

// processMetrics returns the function that gathers the families about the process, or nil if the
// options exclude them. The function is safe for concurrent use. A collector that fails leaves out
// its families, as in Prometheus's own exporters.
func (o *Options) processMetrics() func() []*dto.MetricFamily {
	if !o.ProcessMetrics || o.DropIn {
		return nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return func() []*dto.MetricFamily {
		families, _ := registry.Gather()
		return families
	}
}
