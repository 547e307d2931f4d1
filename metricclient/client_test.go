package metricclient

import (
	"testing"

	"github.com/sandmeter/sandmeter/config"
)

func TestNewMetricClient(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/0")
	f := func(addr, root, wantAddr, wantRoot string) {
		t.Helper()
		c := NewMetricClient(addr, root)
		if c.addr != wantAddr || c.rootDir != wantRoot {
			t.Errorf("%q, %q: got %q, %q, want %q, %q", addr, root, c.addr, c.rootDir, wantAddr, wantRoot)
		}
	}
	f("localhost:80", "/run/runsc", "localhost:80", "/run/runsc")
	f(config.RuntimeRoot+"/s", "/run/runsc", "/run/runsc/s", "/run/runsc")
	f(config.RuntimeRoot+"s", "/run//runsc/", "/run//runsc/s", "/run/runsc")
	f(config.RuntimeRoot+"/s", "", "/run/user/0/runsc/s", "/run/user/0/runsc")
}
