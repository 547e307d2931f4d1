package metricclient_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sandmeter/sandmeter/metricclient"
)

func ExampleMetricClient_GetMetrics() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Println("asked for", r.URL) }))
	defer server.Close()
	client := metricclient.NewMetricClient(server.Listener.Addr().String(), "/run/runsc")
	defer client.Close()

	_, err := client.GetMetrics(context.Background(), map[string]string{
		metricclient.MetricsFilterParam:    "fs_.*",
		metricclient.CapabilityFilterParam: "NET",
	})
	fmt.Println(err)
	// Output:
	// asked for /metrics?runsc-capability-filter=NET&runsc-sandbox-metrics-filter=fs_.%2A
	// <nil>
}
