package metricclient_test

import (
	"errors"
	"fmt"

	"github.com/sandmeter/sandmeter/metricclient"
)

// A sandbox does not send counters that are still zero. This example distinguishes them from
// metrics that do not exist, as far as the page allows.
func ExampleMetricData_Family() {
	page := metricclient.MetricData(`# TYPE runsc_fs_opens counter
runsc_fs_opens{sandbox="web"} 29
# TYPE runsc_meta_sandbox_failure gauge
runsc_meta_sandbox_failure{reason="stalled",sandbox="stuck"} 1
# TYPE runsc_meta_sandbox_running gauge
runsc_meta_sandbox_running{sandbox="db"} 1
runsc_meta_sandbox_running{sandbox="stuck"} 1
runsc_meta_sandbox_running{sandbox="web"} 1
`)
	counter := func(metric, sandbox string) (int64, error) {
		value := func(metric string) (int64, error) {
			n, _, err := page.GetPrometheusContainerInteger(metricclient.WantMetric{Metric: metric, Sandbox: sandbox})
			return n, err
		}
		n, err := value(metric)
		if err == nil || !errors.Is(err, metricclient.ErrNoSample) {
			return n, err
		}
		family, familyErr := page.Family(metric) // ErrNoMetric if no sandbox has the metric
		running, _ := value("runsc_meta_sandbox_running")
		failed, _ := value("runsc_meta_sandbox_failure")
		if familyErr == nil && family.Type == "counter" && running == 1 && failed == 0 {
			return 0, nil
		}
		return 0, err
	}
	fmt.Println(counter("runsc_fs_opens", "web"))
	fmt.Println(counter("runsc_fs_opens", "db"))

	_, err := counter("runsc_fs_opens", "stuck")
	fmt.Println(err)
	_, err = counter("runsc_fs_opens", "gone")
	fmt.Println(err)
	_, err = counter("runsc_no_such_metric", "db")
	fmt.Println(errors.Is(err, metricclient.ErrNoMetric))
	// Output:
	// 29 <nil>
	// 0 <nil>
	// integer runsc_fs_opens{sandbox="stuck"}: no such sample: none of the metric's 1 has these labels
	// integer runsc_fs_opens{sandbox="gone"}: no such sample: none of the metric's 1 has these labels
	// true
}
