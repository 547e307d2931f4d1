package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

const chartDir = "../sandmeter"

func TestChartVersion(t *testing.T) {
	f := func(version, want string) {
		t.Helper()
		if have := chartVersion(version); have != want {
			t.Errorf("chart version %q of %q, want %q", have, version, want)
		}
	}
	f("v1.2.3", "1.2.3")
	f("1.2.3", "1.2.3")
	f("v1.2.3-rc.1", "1.2.3-rc.1")
	f("v1.2.3-dirty", "1.2.3+dirty")
	f("v1.2.3-14-g0abcdef", "1.2.3+14.g0abcdef")
	f("v1.2.3-rc.1-14-g0abcdef-dirty", "1.2.3-rc.1+14.g0abcdef.dirty")
	f("0abcdef", "0.0.0+0abcdef")
	f("0123456-dirty", "0.0.0+0123456.dirty")
	f("a/b_c", "0.0.0+a.b.c")
}

// TestPackage checks that helm reads the package, that it has the files of the chart, also those that are
// links, and the version, and that the chart has the same package a second time.
func TestPackage(t *testing.T) {
	dir := t.TempDir()
	if err := run([]string{"-version", "v1.2.3", "-out", dir, chartDir}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "sandmeter-1.2.3.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := pack(chartDir, "v1.2.3"); err != nil || !bytes.Equal(content, again) {
		t.Errorf("another package is different (%v)", err)
	}

	packed, err := loader.LoadArchive(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if m := packed.Metadata; m.Version != "1.2.3" || m.AppVersion != "v1.2.3" {
		t.Errorf("the package has version %s and appVersion %s", m.Version, m.AppVersion)
	}
	source, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	if have, want := contents(packed), contents(source); !slices.Equal(have, want) {
		t.Errorf("the package has %q\nwant %q", have, want)
	}
}

// contents returns the names and contents of the files of a chart but Chart.yaml, in the order of
// the names.
func contents(c *chart.Chart) (all []string) {
	for _, f := range c.Raw {
		if f.Name != metadataFile {
			all = append(all, f.Name+"\n"+string(f.Data))
		}
	}
	slices.Sort(all)
	return all
}

// TestRefused has command lines that are refused, and a part of the error.
func TestRefused(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", args, err, want)
		}
	}
	f("there is no version", chartDir)
	f("give the directory of one chart", "-version", "1.2.3")
	f("no such file", "-version", "1.2.3", "no-such-chart")
}
