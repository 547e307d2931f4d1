package metricclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/sandmeter/sandmeter/metricclient"
)

// This program starts a metric server, reads its metrics and stops it.
func Example() {
	root, err := os.MkdirTemp("", "runsc")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client := metricclient.NewMetricClient("%RUNTIME_ROOT%/metrics.sock", root)
	defer client.Close()
	if err := client.SpawnServer(ctx, nil); err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := client.ShutdownServer(ctx); err != nil {
			fmt.Println(err)
		}
	}()

	page, err := client.GetMetrics(ctx, map[string]string{"runsc-sandbox-metrics-filter": "^fs_opens$"})
	if err != nil {
		fmt.Println(err)
		return
	}
	opens, at, err := page.GetPrometheusContainerInteger(metricclient.WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(opens, "opens at", at.Format(time.RFC3339Nano))
	// Output: 42 opens at 2026-11-22T09:13:03.582Z
}

func ExampleMetricClient_HealthCheck() {
	client := metricclient.NewMetricClient("%RUNTIME_ROOT%/metrics.sock", "/no/such/root")
	defer client.Close()

	err := client.HealthCheck(context.Background())
	wrongRoot := new(metricclient.WrongRootError)
	switch {
	case err == nil:
		fmt.Println("it runs")
	case errors.Is(err, metricclient.ErrNotListening):
		fmt.Println("it does not run")
	case errors.Is(err, metricclient.ErrNotMetricServer):
		fmt.Println("something else is there")
	case errors.Is(err, metricclient.ErrShuttingDown):
		fmt.Println("it is about to end")
	case errors.As(err, &wrongRoot):
		fmt.Println("it serves", wrongRoot.Got)
	default:
		fmt.Println(err) // such as a timeout
	}
	// Output: it does not run
}

func ExampleNewMetricClientWithOptions() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Println(r.TLS != nil, user, password)
	}))
	defer server.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate())

	client := metricclient.NewMetricClientWithOptions(server.Listener.Addr().String(), "/run/runsc",
		metricclient.WithTLS(&tls.Config{RootCAs: authorities}),
		metricclient.WithBasicAuth("prometheus", "secret"))
	defer client.Close()
	_, err := client.GetMetrics(context.Background(), nil)
	fmt.Println(err)
	// Output:
	// true prometheus secret
	// <nil>
}
