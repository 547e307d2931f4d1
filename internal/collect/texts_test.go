package collect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/state"
)

func TestCheckTexts(t *testing.T) {
	with := func(change func(*state.Sandbox, *state.Spec)) *state.Sandbox {
		c := &state.Container{ID: "a", SandboxID: "a", Spec: state.Spec{OCIVersion: "1.0.0", Capabilities: []string{"CAP_KILL"}}}
		s := &state.Sandbox{ID: "a", Containers: []*state.Container{c}}
		change(s, &c.Spec)
		return s
	}
	name, longName := strings.Repeat("x", 253), strings.Repeat("x", 254)
	fits, long := strings.Repeat("x", 4096), strings.Repeat("x", 4097)
	pairs := func(n int) (list []state.Pair) {
		for i := range n {
			list = append(list, state.Pair{Name: fmt.Sprint("k", i), Value: fits})
		}
		return list
	}
	check := func(want string, change func(*state.Sandbox, *state.Spec)) {
		t.Helper()
		facts := with(change)
		united := unite(facts)
		err := checkTexts(facts, &united)
		if want == "" && err != nil || want != "" && (err.Reason != failure.TextsRefused || !strings.HasSuffix(err.Error(), ": "+want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("", func(s *state.Sandbox, c *state.Spec) {})
	check("", func(s *state.Sandbox, c *state.Spec) {
		s.PodName, s.Namespace, s.Metadata, c.OCIVersion = name, name, pairs(64), fits
	})
	check("the pod name has 254 bytes; the limit is 253", func(s *state.Sandbox, c *state.Spec) { s.PodName = longName })
	check("the namespace has 254 bytes; the limit is 253", func(s *state.Sandbox, c *state.Spec) { s.Namespace = longName })
	check("the OCI version has 4097 bytes; the limit is 4096", func(s *state.Sandbox, c *state.Spec) { c.OCIVersion = long })
	check("65 metadata entries exceed the limit of 64", func(s *state.Sandbox, c *state.Spec) { s.Metadata = pairs(65) })
	check("a metadata name has 4097 bytes; the limit is 4096", func(s *state.Sandbox, c *state.Spec) { s.Metadata = []state.Pair{{Name: long}} })
	check("a metadata value has 4097 bytes; the limit is 4096", func(s *state.Sandbox, c *state.Spec) { s.Metadata = []state.Pair{{Name: "a", Value: long}} })
	check("a capability has 4097 bytes; the limit is 4096", func(s *state.Sandbox, c *state.Spec) { c.Capabilities = []string{long} })
	check("257 capabilities exceed the limit of 256", func(s *state.Sandbox, c *state.Spec) {
		c.Capabilities = nil
		for i := range 257 {
			c.Capabilities = append(c.Capabilities, fmt.Sprint("CAP_", i))
		}
	})
}

// TestMetadataLabels: the page leaves out metadata with names that are invalid or reserved as
// labels, and has the rest.
func TestMetadataLabels(t *testing.T) {
	n := newNode(t, nil)
	metadata := map[string]string{"platform": "systrap", "é": "", "a=\"b": "", "__name__": "", "sandbox": "b", "iteration": "1", "pod_name": "web"}
	n.start(simulate.Spec{ID: "a", Metadata: metadata})
	n.expect(n.page(), "runsc_meta_sandbox_metadata{", `runsc_meta_sandbox_metadata{platform="systrap",sandbox="a"} 1`)
}
