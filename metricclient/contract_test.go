package metricclient_test

import (
	"context"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricclient"
)

// These variables have exactly the documented types, and cover all documented functions. Programs may assign a function or put it behind an interface,
// so a new parameter breaks them, even a variadic one. Additions are new functions, methods and
// types.
var (
	_ *metricclient.MetricClient = &metricclient.MetricClient{}
	_ metricclient.MetricData    = "" // no type but a string can have this value
	_ metricclient.WantMetric    = struct {
		Metric         string
		Sandbox        string
		Pod, Namespace string
		ExtraLabels    map[string]string
	}{}

	_ func(string, string) *metricclient.MetricClient = metricclient.NewMetricClient

	_ func(*metricclient.MetricClient) = (*metricclient.MetricClient).Close

	_ func(*metricclient.MetricClient, context.Context, map[string]string) (metricclient.MetricData, error) = (*metricclient.MetricClient).GetMetrics

	_ func(*metricclient.MetricClient, context.Context) error = (*metricclient.MetricClient).HealthCheck

	_ func(*metricclient.MetricClient, context.Context) error = (*metricclient.MetricClient).ShutdownServer

	_ func(*metricclient.MetricClient, context.Context, *config.Config, ...string) error = (*metricclient.MetricClient).SpawnServer

	_ func(metricclient.MetricData, metricclient.WantMetric) (int64, time.Time, error) = metricclient.MetricData.GetPrometheusContainerInteger

	_ func(metricclient.MetricData, string, map[string]string) (int64, time.Time, error) = metricclient.MetricData.GetPrometheusInteger

	_ func(metricclient.MetricData, metricclient.WantMetric) (map[string]string, error) = metricclient.MetricData.GetSandboxMetadataMetric
)
