package vm

import "path"

// unitTested has the packages whose tests depend on the kernel.
var unitTested = []string{"internal/host", "internal/collect", "internal/control", "metricserver", "metricclient"}

// stageUnitTests compiles the tests of packages, each in its directory of a copy of the checkout.
func stageUnitTests(run func(in, name string, args ...string), stage string) {
	run(checkout, "sh", "-c", "git ls-files -z | tar -c --null -T - | tar -x -C "+stage+"/src")
	for _, name := range unitTested {
		run(checkout, "go", "test", "-c", "-buildvcs=false", "-trimpath", "-o", path.Join(stage, "src", name, "unit.test"), "./"+name)
	}
}

// unitTests runs the tests of packages as root.
func (m *machine) unitTests() {
	m.sh("cp -r /sandmeter/src /root/src")
	for _, name := range unitTested {
		if out, err := m.try("cd /root/src/" + name + " && ./unit.test -test.timeout 1h"); err != nil {
			m.t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	m.sh("rm -r /root/src")
}
