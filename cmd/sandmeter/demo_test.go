package main

import (
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

func TestDemoTable(t *testing.T) {
	sandboxes := []demoSandbox{
		{Container: runsc.Container{ID: "idle"}},
		{Container: runsc.Container{ID: "pod"}, pod: runsc.Pod{Name: "web", Namespace: "shop"}},
		{Container: runsc.Container{ID: "gone"}, pod: runsc.Pod{Name: "web", Namespace: "shop"}},
	}
	const page = `# TYPE runsc_fs_opens counter
runsc_fs_opens{iteration="a",sandbox="idle"} 8 1795338783582
runsc_fs_opens{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 12345 1795338783582
# TYPE runsc_fs_reads counter
runsc_fs_reads{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 7 1795338783582
# TYPE runsc_meta_sandbox_metadata gauge
runsc_meta_sandbox_metadata{iteration="b",namespace_name="shop",platform="systrap",pod_name="web",sandbox="pod"} 1 1795338783582
# TYPE runsc_meta_sandbox_running gauge
runsc_meta_sandbox_running{iteration="a",sandbox="idle"} 0 1795338783582
runsc_meta_sandbox_running{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 1 1795338783582
`
	var out strings.Builder
	if err := writeDemoTable(&out, page, sandboxes); err != nil {
		t.Fatal(err)
	}
	const want = `
SANDBOX   POD        STATE     FILE OPENS   FILE READS
idle      -          ended     8            -
pod       shop/web   running   12345        7
gone      -          -         -            -
`
	if out.String() != want {
		t.Errorf("table:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestDemoTableRefusesNonsense(t *testing.T) {
	const page = "# TYPE runsc_fs_opens counter\nruns" + `c_fs_opens{sandbox="idle"} 0.5 1795338783582` + "\n"
	var out strings.Builder
	err := writeDemoTable(&out, page, []demoSandbox{{Container: runsc.Container{ID: "idle"}}})
	if err == nil {
		t.Errorf("no error, but:\n%s", out.String())
	}
}
