package collect

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/state"
)

func TestCheckTexts(t *testing.T) {
	with := func(change func(*state.Container)) *state.Sandbox {
		c := &state.Container{ID: "a", SandboxID: "a", Spec: state.Spec{OCIVersion: "1.0.0", Capabilities: []string{"CAP_KILL"}}}
		change(c)
		return &state.Sandbox{Root: c}
	}
	name, longName := strings.Repeat("x", 253), strings.Repeat("x", 254)
	fits, long := strings.Repeat("x", 4096), strings.Repeat("x", 4097)
	pairs := func(n int) (list []state.Pair) {
		for i := range n {
			list = append(list, state.Pair{Name: fmt.Sprint("k", i), Value: fits})
		}
		return list
	}
	check := func(want string, change func(*state.Container)) {
		t.Helper()
		err := checkTexts(with(change))
		if want == "" && err != nil || want != "" && (!errors.Is(err, errTexts) || !strings.HasSuffix(err.Error(), ": "+want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("", func(c *state.Container) {})
	check("", func(c *state.Container) {
		c.Sandbox.PodName, c.Sandbox.Namespace, c.Sandbox.Metadata, c.Spec.OCIVersion = name, name, pairs(64), fits
	})
	check("the pod's name has 254 bytes, more than 253", func(c *state.Container) { c.Sandbox.PodName = longName })
	check("the namespace has 254 bytes, more than 253", func(c *state.Container) { c.Sandbox.Namespace = longName })
	check("the OCI version has 4097 bytes, more than 4096", func(c *state.Container) { c.Spec.OCIVersion = long })
	check("65 pieces of metadata, more than 64", func(c *state.Container) { c.Sandbox.Metadata = pairs(65) })
	check("a name of metadata has 4097 bytes, more than 4096", func(c *state.Container) { c.Sandbox.Metadata = []state.Pair{{Name: long}} })
	check("a piece of metadata has 4097 bytes, more than 4096", func(c *state.Container) { c.Sandbox.Metadata = []state.Pair{{Name: "a", Value: long}} })
	check("a capability has 4097 bytes, more than 4096", func(c *state.Container) { c.Spec.Capabilities = []string{long} })
	check("257 capabilities, more than 256", func(c *state.Container) {
		c.Spec.Capabilities = nil
		for i := range 257 {
			c.Spec.Capabilities = append(c.Spec.Capabilities, fmt.Sprint("CAP_", i))
		}
	})
}
