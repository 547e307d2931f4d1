package config

import (
	"slices"
	"strings"
	"testing"
)

func TestToFlags(t *testing.T) {
	f := func(c Config, want ...string) {
		t.Helper()
		before := c
		if got := c.ToFlags(); !slices.Equal(got, want) {
			t.Errorf("%+v: got %q, want %q", c, got, want)
		}
		if c != before {
			t.Errorf("ToFlags changed %+v to %+v", before, c)
		}
	}
	f(Config{})
	f(Config{ServerPath: "/usr/bin/sandmeter"})
	f(Config{RootDir: "/run/runsc"}, "--root=/run/runsc")
	f(Config{RootDir: "false"}, "--root=false")
	f(Config{
		RootDir: "/r", MetricServer: ":80", Debug: true, DebugLog: "/d/", LogFilename: "/l", LogFormat: "json", ServerPath: "/s",
	}, "--debug=true", "--debug-log=/d/", "--log=/l", "--log-format=json", "--metric-server=:80", "--root=/r")
}

func TestFromFlags(t *testing.T) {
	f := func(line string, want Config, wantRest ...string) {
		t.Helper()
		conf, rest, err := FromFlags(strings.Fields(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			return
		}
		if *conf != want {
			t.Errorf("%s: got %+v, want %+v", line, *conf, want)
		}
		if !slices.Equal(rest, wantRest) {
			t.Errorf("%s: got rest %q, want %q", line, rest, wantRest)
		}
	}

	// The subcommand and the words after it are unchanged.
	f("", Config{})
	f("metric-server", Config{}, "metric-server")
	f("metric-server --root=/r", Config{}, "metric-server", "--root=/r")
	f("--root=/r list --debug", Config{RootDir: "/r"}, "list", "--debug")
	f("-- --root=/r", Config{}, "--root=/r")
	f("--debug -- metric-server", Config{Debug: true}, "metric-server")
	f("- --root=/r", Config{}, "-", "--root=/r")

	// One or two dashes; the value after an equals sign or in the next word.
	all := Config{RootDir: "/r", MetricServer: ":80", Debug: true, DebugLog: "/d/", LogFilename: "/l", LogFormat: "json-k8s"}
	f("--root=/r --metric-server=:80 --debug --debug-log=/d/ --log=/l --log-format=json-k8s run", all, "run")
	f("-root=/r -metric-server=:80 -debug -debug-log=/d/ -log=/l -log-format=json-k8s run", all, "run")
	f("--root /r -metric-server :80 --debug -debug-log /d/ --log /l -log-format json-k8s run", all, "run")
	f("--metric-server=%RUNTIME_ROOT%/m?a=b x", Config{MetricServer: "%RUNTIME_ROOT%/m?a=b"}, "x")
	f("--root --debug x", Config{RootDir: "--debug"}, "x") // as in package flag
	f("--root=/a --root=/b --log-format=json --log-format= x", Config{RootDir: "/b"}, "x")

	// Booleans never take the next word.
	f("--debug false", Config{Debug: true}, "false")
	f("--debug=false x", Config{}, "x")
	f("--debug=T x", Config{Debug: true}, "x")
	f("--debug --debug=0 x", Config{}, "x")

	// runsc flags that are not in Config.
	f("--platform=systrap --root=/r x", Config{RootDir: "/r"}, "x")
	f("--platform systrap --root=/r x", Config{RootDir: "/r"}, "x")
	f("-platform systrap x", Config{}, "x")
	f("--ignore-cgroups --root=/r x", Config{RootDir: "/r"}, "x")
	f("--ignore-cgroups metric-server --root=/r", Config{}, "metric-server", "--root=/r")
	f("--ignore-cgroups -- metric-server", Config{}, "metric-server")
	f("--platform", Config{})
	f("--rootless true x", Config{}, "x")
	f("--server-path /s x", Config{}, "x")
}

func TestFromFlagsErrors(t *testing.T) {
	f := func(line, want string, wantRest ...string) {
		t.Helper()
		conf, rest, err := FromFlags(strings.Fields(line))
		if err == nil || conf != nil {
			t.Errorf("%s: got %+v and error %v, want only an error", line, conf, err)
			return
		}
		if got := strings.TrimPrefix(err.Error(), "runsc flags: "); got != want {
			t.Errorf("%s: got error\n\t%s\nwant\n\t%s", line, got, want)
		}
		if !slices.Equal(rest, wantRest) {
			t.Errorf("%s: got rest %q, want %q", line, rest, wantRest)
		}
	}
	f("--root", `--root has no value: write --root=DIRECTORY`)
	f("--debug --log-format", `--log-format has no value: write --log-format=text|json|json-k8s`)
	f("--debug=maybe metric-server", `--debug does not take "maybe": write --debug=true|false`, "metric-server")
	f("--debug= x", `--debug does not take "": write --debug=true|false`, "x")
	f("-log-format xml x", `--log-format does not take "xml": write --log-format=text|json|json-k8s`, "x")
	f("-=x metric-server a", `"-=x" is no flag: write --name=value`, "metric-server", "a")
	f("---root=/r x", `"---root=/r" is no flag: write --name=value`, "x")

	// FromFlags reports the first error and still finds the subcommand.
	f("--log-format=xml --debug=2 --platform systrap metric-server -a", `--log-format does not take "xml": write --log-format=text|json|json-k8s`,
		"metric-server", "-a")
}

func FuzzFromFlags(f *testing.F) {
	f.Add("--root=/r\n-metric-server\n:80\n--debug=false\n--platform\nkvm\nmetric-server\n-x")
	f.Add("--log-format=json-k8s\n--log\n\n--\nrun")
	f.Add("--root=false\n--debug\n-=\n---")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		before := slices.Clone(args)
		conf, rest, err := FromFlags(args)
		if !slices.Equal(args, before) {
			t.Fatalf("arguments changed from %q to %q", before, args)
		}
		if !slices.Equal(rest, args[len(args)-len(rest):]) {
			t.Fatalf("rest %q is not the end of %q", rest, args)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %v", err)
			}
			return
		}
		again, rest, err := FromFlags(conf.ToFlags())
		if err != nil || len(rest) != 0 || *again != *conf {
			t.Fatalf("%+v became %+v with rest %q and error %v by way of %q", conf, again, rest, err, conf.ToFlags())
		}
	})
}
