package metricclient_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/sandmeter/sandmeter/metricclient"
)

const page = metricclient.MetricData(`# HELP runsc_fs_opens Number of file opens.
# TYPE runsc_fs_opens counter
runsc_fs_opens{iteration="1af6dvkjq949g",sandbox="web"} 29 1795338783582
runsc_fs_opens{iteration="39c9fawht4m8d",sandbox="db"} 23385 1795338783602
# HELP runsc_meta_num_sandboxes_running Number of sandboxes running at present.
# TYPE runsc_meta_num_sandboxes_running gauge
runsc_meta_num_sandboxes_running 2 1795338783582
# HELP runsc_meta_sandbox_metadata Key-value pairs about per-sandbox metadata.
# TYPE runsc_meta_sandbox_metadata gauge
runsc_meta_sandbox_metadata{iteration="1af6dvkjq949g",platform="systrap",sandbox="web"} 1 1795338783582
`)

func ExampleMetricData_GetPrometheusInteger() {
	running, at, err := page.GetPrometheusInteger("runsc_meta_num_sandboxes_running", nil)
	fmt.Println(running, at.Format(time.TimeOnly), err)

	_, _, err = page.GetPrometheusInteger("runsc_fs_opens", nil)
	fmt.Println(err)
	// Output:
	// 2 09:13:03 <nil>
	// integer runsc_fs_opens: 2 samples match: ask for more labels
}

func ExampleMetricData_GetPrometheusContainerInteger() {
	opens, _, err := page.GetPrometheusContainerInteger(metricclient.WantMetric{Metric: "runsc_fs_opens", Sandbox: "db"})
	fmt.Println(opens, err)

	// A counter that is still zero is not on the page.
	_, _, err = page.GetPrometheusContainerInteger(metricclient.WantMetric{Metric: "runsc_fs_reads", Sandbox: "db"})
	fmt.Println(errors.Is(err, metricclient.ErrNoSample))
	// Output:
	// 23385 <nil>
	// true
}

func ExampleMetricData_GetSandboxMetadataMetric() {
	metadata, err := page.GetSandboxMetadataMetric(metricclient.WantMetric{Sandbox: "web"})
	fmt.Println(metadata, err)
	// Output: map[iteration:1af6dvkjq949g platform:systrap] <nil>
}
