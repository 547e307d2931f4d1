package config_test

import (
	"fmt"

	"github.com/sandmeter/sandmeter/config"
)

func ExampleExpandAddress() {
	fmt.Println(config.ExpandAddress("%RUNTIME_ROOT%/metrics.sock", "/run/runsc"))
	// Output: /run/runsc/metrics.sock
}

func ExampleConfig_ToFlags() {
	conf := config.Config{RootDir: "/run/runsc", MetricServer: "localhost:9000", Debug: true}
	for _, word := range conf.ToFlags() {
		fmt.Println(word)
	}
	// Output:
	// --debug=true
	// --metric-server=localhost:9000
	// --root=/run/runsc
}

func ExampleFromFlags() {
	conf, rest, err := config.FromFlags([]string{
		"--root", "/run/runsc", "--platform=systrap", "-debug", "metric-server", "-pid-file=/run/metrics.pid",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(conf.RootDir, conf.Debug)
	fmt.Println(rest)
	// Output:
	// /run/runsc true
	// [metric-server -pid-file=/run/metrics.pid]
}
