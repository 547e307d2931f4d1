package metricclient

import (
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded returns a page of the reference server with three sandboxes: sb-plain, sb-busy and
// sb-k8s. sb-k8s is a pod.
func recorded(t testing.TB) MetricData {
	t.Helper()
	page, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	return MetricData(page)
}

type labels = map[string]string

func TestGetPrometheusInteger(t *testing.T) {
	page := recorded(t)
	f := func(metric string, want labels, value int64, ms int64) {
		t.Helper()
		got, at, err := page.GetPrometheusInteger(metric, want)
		if err != nil {
			t.Error(err)
			return
		}
		if got != value || !at.Equal(time.UnixMilli(ms)) || at.Location() != time.UTC {
			t.Errorf("%s: got %d at %v, want %d at %v", selector{metric, want}, got, at, value, time.UnixMilli(ms).UTC())
		}
	}
	f("runsc_meta_num_sandboxes_running", nil, 3, 1795338783582)
	f("runsc_fs_opens", labels{"sandbox": "sb-busy"}, 23385, 1795338783602)
	f("runsc_fs_opens", labels{"pod_name": "nginx-7d8b49557c-abcde", "namespace_name": "prod-ns"}, 29, 1795338783582)
	f("runsc_meta_sandbox_capabilities", labels{"sandbox": "sb-k8s", "capability": "KILL"}, 1, 1795338783582)
	// An empty value is the same as an absent label.
	f("runsc_fs_opens", labels{"sandbox": "sb-plain", "pod_name": ""}, 8, 1795338783582)
}

func TestGetPrometheusIntegerErrors(t *testing.T) {
	page := recorded(t)
	f := func(metric string, want labels, is error, texts ...string) {
		t.Helper()
		value, at, err := page.GetPrometheusInteger(metric, want)
		wantError(t, err, is, append(texts, selector{metric, want}.String())...)
		if value != 0 || !at.IsZero() {
			t.Errorf("%v: got %d at %v too", err, value, at)
		}
	}
	f("runsc_fs", nil, ErrNoSample, "the page has none of this metric")
	f("", nil, ErrNoSample)
	f("runsc_fs_opens", labels{"sandbox": "sb"}, ErrNoSample, "none of the metric's 3")
	f("runsc_fs_opens", labels{"sandbox": "sb-k8s", "pod_name": ""}, ErrNoSample)
	f("runsc_fs_opens", nil, nil, "3 samples match")
	f("process_start_time_seconds", nil, nil, "not an integer: 1795338760.112779")
}

// TestLookupsReadTheirLines: only the lines of the requested metric matter.
func TestLookupsReadTheirLines(t *testing.T) {
	f := func(page string) {
		t.Helper()
		if value, _, err := MetricData(page).GetPrometheusInteger("m", labels{"l": "v"}); value != 1 || err != nil {
			t.Errorf("%q: got %d and error %v", page, value, err)
		}
	}
	f(`m{a="}\"\\\n,l=",l="v"} 1`)
	f("# TYPE m gauge\n# HELP m l\nmm{l=\"v\"} 9\nm_m 9\nm{l=\"w\"} 9\nm 9\nm{l=\"v\"} 1\n")
	f("#m{l=\"v\"} 2\nm{l=\"v\"} 1\n")
	f("x{\nm{l=\"v\"} 1\n")
	f("# TYPE mm histogram\nm{l=\"v\"} 1\n")
}

func TestIntegersAreExact(t *testing.T) {
	for text, want := range map[string]int64{
		"-0": 0, "+7": 7, "5.": 5, "+.5e1": 5, "1e3": 1000, "-1.5E1": -15, "0e99": 0, "1200e-2": 12,
		"9223372036854775807": 1<<63 - 1, "-9.223372036854775808e18": -1 << 63, "9.007199254740993e+15": 1<<53 + 1,
		"0.00" + strings.Repeat("0", 1000) + "7e1003": 7,
	} {
		if got, _, err := MetricData("m "+text).GetPrometheusInteger("m", nil); got != want || err != nil {
			t.Errorf("%s: got %d and error %v, want %d", text, got, err, want)
		}
	}
	fails := func(reason string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			_, _, err := MetricData("m "+text).GetPrometheusInteger("m", nil)
			wantError(t, err, nil, reason+": "+excerpt(text))
		}
	}
	fails("the value is not an integer", "1.5", "1200e-3", "1e-99999999999999999999", "9007199254740992.5", "NaN", "+Inf", "1."+strings.Repeat("0", 1<<20))
	fails("the value does not fit an int64", "9223372036854775808", "-9223372036854775809", "1e300")
}

func TestHistogramsHaveNoInteger(t *testing.T) {
	const page = MetricData("# HELP h H.\n# TYPE h histogram\n" +
		"h_bucket{sandbox=\"a\",le=\"1\"} 2\nh_bucket{sandbox=\"a\",le=\"+Inf\"} 3\nh_sum{sandbox=\"a\"} 9\nh_count{sandbox=\"a\"} 3\n" +
		"# TYPE s\tsummary\ns{quantile=\"0.5\"} 1\n")
	_, _, err := page.GetPrometheusInteger("h", labels{"sandbox": "a"})
	wantError(t, err, nil, "it is a histogram", "h_count", `h{sandbox="a"}`)
	_, _, err = page.GetPrometheusInteger("s", nil)
	wantError(t, err, nil, "it is a summary")

	// Its parts work like any other metric.
	f := func(metric string, l labels, want int64) {
		t.Helper()
		if got, _, err := page.GetPrometheusInteger(metric, l); got != want || err != nil {
			t.Errorf("%s: got %d and error %v", metric, got, err)
		}
	}
	f("h_count", nil, 3)
	f("h_sum", nil, 9)
	f("h_bucket", labels{"le": "+Inf"}, 3)
}

func TestGetPrometheusContainerInteger(t *testing.T) {
	page := recorded(t)
	const pod, namespace = "nginx-7d8b49557c-abcde", "prod-ns"
	f := func(want WantMetric, value int64) {
		t.Helper()
		before := maps.Clone(want.ExtraLabels)
		got, at, err := page.GetPrometheusContainerInteger(want)
		if got != value || at.UnixMilli() != 1795338783582 || err != nil {
			t.Errorf("%+v: got %d at %v and error %v, want %d", want, got, at, err, value)
		}
		if !maps.Equal(want.ExtraLabels, before) {
			t.Errorf("the caller's labels changed from %v to %v", before, want.ExtraLabels)
		}
	}
	f(WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb-k8s"}, 29)
	f(WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb-k8s", Pod: pod, Namespace: namespace}, 29)
	f(WantMetric{Metric: "runsc_meta_sandbox_capabilities", Sandbox: "sb-k8s", ExtraLabels: labels{"capability": "KILL"}}, 1)

	fails := func(want WantMetric, is error, texts ...string) {
		t.Helper()
		_, _, err := page.GetPrometheusContainerInteger(want)
		wantError(t, err, is, texts...)
	}
	fails(WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb-plain", Pod: pod}, ErrNoSample,
		`runsc_fs_opens{pod_name="nginx-7d8b49557c-abcde",sandbox="sb-plain"}`)
	fails(WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb-k8s", Namespace: "other"}, ErrNoSample, `namespace_name="other"`)
	// An empty sandbox must not select the server's own metric.
	fails(WantMetric{Metric: "runsc_meta_num_sandboxes_running"}, nil, "no sandbox is named")
}

func TestGetSandboxMetadataMetric(t *testing.T) {
	page := recorded(t)
	const pod, namespace = "nginx-7d8b49557c-abcde", "prod-ns"
	metadata := func(iteration string) labels {
		return labels{
			"coretags": "false", "cpuarch": "amd64", "experiment": "", "fsmode": "directfs", "go": "go1.26.8", "iteration": iteration,
			"network": "none", "numcores": "2", "overlay": "root:self", "platform": "systrap", "version": "VERSION_MISSING",
		}
	}
	f := func(want WantMetric, wantLabels labels) {
		t.Helper()
		if got, err := page.GetSandboxMetadataMetric(want); err != nil || !maps.Equal(got, wantLabels) {
			t.Errorf("%+v: got %v and error %v, want %v", want, got, err, wantLabels)
		}
	}
	f(WantMetric{Sandbox: "sb-plain"}, metadata("1af6dvkjq949g"))
	f(WantMetric{Sandbox: "sb-k8s", Pod: pod, Namespace: namespace}, metadata("33sp8vo18t24b"))
	f(WantMetric{Sandbox: "sb-busy", ExtraLabels: labels{"platform": "systrap", "experiment": ""}}, metadata("39c9fawht4m8d"))
	f(WantMetric{Metric: "runsc_meta_spec_metadata", Sandbox: "sb-plain"},
		labels{"hasuid0": "true", "iteration": "1af6dvkjq949g", "nvproxy": "false", "ociversion": "1.0.0", "tpuproxy": "false"})

	fails := func(want WantMetric, is error, texts ...string) {
		t.Helper()
		got, err := page.GetSandboxMetadataMetric(want)
		wantError(t, err, is, texts...)
		if got != nil {
			t.Errorf("labels with an error: %v", got)
		}
	}
	fails(WantMetric{Sandbox: "sb-k8s"}, ErrNoSample, "runsc_meta_sandbox_metadata{", `sandbox="sb-k8s"`, `pod_name=""`)
	fails(WantMetric{Sandbox: "sb-plain", ExtraLabels: labels{"platform": "kvm"}}, ErrNoSample)
	fails(WantMetric{Metric: "runsc_meta_sandbox_capabilities", Sandbox: "sb-plain"}, nil, "3 samples match")
	fails(WantMetric{Metric: "nothing", Sandbox: "sb-plain"}, ErrNoSample, "nothing{")
}

func TestGetSandboxMetadataMetricFindsTheServersFamily(t *testing.T) {
	f := func(page, want string) {
		t.Helper()
		got, err := MetricData(page).GetSandboxMetadataMetric(WantMetric{Sandbox: "a"})
		if err != nil || got["x"] != want {
			t.Errorf("%q: got %v and error %v, want %s", page, got, err, want)
		}
	}
	family := func(name, value string) string {
		return "# TYPE " + name + " gauge\n" + name + `{sandbox="a",x="` + value + "\"} 1\n"
	}
	f(family("runsc_meta_sandbox_metadata", "default"), "default")
	f(family("meta_sandbox_metadata", "none"), "none")
	f(strings.SplitAfterN(family("runsc_meta_sandbox_metadata", "no comment"), "\n", 2)[1], "no comment")
	// The names of sandbox metrics do not matter.
	f(family("my_a_meta_sandbox_metadata", "liar")+family("my_meta_sandbox_metadata", "server"), "server")
	f(family("my_meta_sandbox_metadata", "server")+family("my_a_meta_sandbox_metadata", "liar"), "server")
}

// FuzzParseSample checks that parseSample does not panic, and that an accepted line keeps its
// meaning when it is rendered and parsed again.
func FuzzParseSample(f *testing.F) {
	f.Add(`runsc_fs_opens{iteration="1af6dvkjq949g",sandbox="sb-plain"} 8 1795338783582`)
	f.Add(`m { a = "\\\"\n}" , } NaN`)
	f.Add("m\t1e3")
	f.Add(`m{a="b"`)
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseSample(line)
		_, _, _ = MetricData(line).GetPrometheusInteger("m", labels{"a": "b"})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		_, _ = s.integer()
		again, err := parseSample(rendered(s))
		if err != nil || rendered(again) != rendered(s) {
			t.Fatalf("%q became %q (error %v)", rendered(s), rendered(again), err)
		}
	})
}

// rendered formats a sample in the text format.
func rendered(s sample) string {
	escape := strings.NewReplacer("\\", `\\`, `"`, `\"`, "\n", `\n`)
	var pairs []string
	for _, l := range s.labels {
		pairs = append(pairs, l.name+`="`+escape.Replace(l.value)+`"`)
	}
	line := s.name + "{" + strings.Join(pairs, ",") + "} " + s.value
	if s.at.IsZero() {
		return line
	}
	return line + " " + strconv.FormatInt(s.at.UnixMilli(), 10)
}
