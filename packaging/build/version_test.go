package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestPackageVersion(t *testing.T) {
	f := func(describe, want string) {
		t.Helper()
		if got := packageVersion(describe, epoch); got != want {
			t.Errorf("packageVersion(%q) = %q, want %q", describe, got, want)
		}
	}
	f("v1.2.3", "1.2.3")
	f("1.2.3", "1.2.3")
	f("v1.2.3-dirty", "1.2.3+dirty")
	f("v1.2.3-4-gab12cd3", "1.2.3+4.gab12cd3")
	f("v1.2.3-4-gab12cd3-dirty", "1.2.3+4.gab12cd3.dirty")
	f("v1.3.0-rc.1", "1.3.0~rc.1")
	f("v1.3.0-rc.1-2-gab12cd3", "1.3.0~rc.1+2.gab12cd3")
	f("v1.3.0-preview", "1.3.0~preview")
	f("ab12cd3", "0~git20260504030201.ab12cd3")
	f("ab12cd3-dirty", "0~git20260504030201.ab12cd3.dirty")
	f("nightly_2026-05-04", "0~git20260504030201.nightly.2026.05.04")
}

// TestVersionOrder: dpkg and rpm upgrade from each of these versions to the next one.
func TestVersionOrder(t *testing.T) {
	needs(t, "dpkg", "rpm")
	later := epoch.Add(time.Hour)
	versions := []string{
		packageVersion("ab12cd3", epoch), packageVersion("0a12cd3", later),
		packageVersion("v1.2.3-rc.1", epoch), packageVersion("v1.2.3-rc.1-2-gab12cd3", epoch), packageVersion("v1.2.3-rc.2", epoch),
		packageVersion("v1.2.3", epoch), packageVersion("v1.2.3-4-gab12cd3", epoch), packageVersion("v1.2.3-10-gab12cd3", epoch),
		packageVersion("v1.2.10", epoch),
	}
	for i, b := range versions[1:] {
		a := versions[i]
		if err := exec.Command("dpkg", "--compare-versions", a+"-1", "lt", b+"-1").Run(); err != nil {
			t.Errorf("dpkg does not upgrade from %s to %s", a, b)
		}
		if order := outputOf(t, "rpm", "--eval", "%{lua:print(rpm.vercmp('"+a+"', '"+b+"'))}"); strings.TrimSpace(order) != "-1" {
			t.Errorf("rpm does not upgrade from %s to %s", a, b)
		}
	}
}
