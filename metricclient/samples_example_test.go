package metricclient_test

import (
	"fmt"

	"github.com/sandmeter/sandmeter/metricclient"
)

func ExampleMetricData_Samples() {
	page := metricclient.MetricData("runsc_fs_opens{sandbox=\"a\"} 51\nrunsc_fs_opens{sandbox=\"b\"} 8\n")
	for s, err := range page.Samples() {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s.Labels["sandbox"], s.Value)
	}
	// Output:
	// a 51
	// b 8
}
