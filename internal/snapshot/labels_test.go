package snapshot

import "testing"

func TestFreeLabelName(t *testing.T) {
	for _, name := range []string{"a", "A", "_", "_a", "a0", "platform", "sandbox_", "le", "quantile"} {
		if !FreeLabelName(name) {
			t.Errorf("%q is not free", name)
		}
	}
	for _, name := range []string{"", "0", "0a", "a-b", "a b", "a:b", "é", "a\n", `a="`, "__", "__name__", "iteration", "sandbox", "pod_name", "namespace_name", "runtime_root"} {
		if FreeLabelName(name) {
			t.Errorf("%q is free", name)
		}
	}
}
