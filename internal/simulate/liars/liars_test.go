package liars

import (
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestLiarsAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range slices.Concat(All(), OfUsage(), OfFinalLog()) {
		if seen[l.Name] {
			t.Errorf("%s: two of that name", l.Name)
		}
		seen[l.Name] = true
		if l.Describe == "" || l.Topic == "" {
			t.Errorf("%s: no description or no topic", l.Name)
		}
	}
}

func TestEditField(t *testing.T) {
	const doc = `{"a":{"b":1},"c":[2],"b":"3"}`
	for _, test := range []struct{ anchor, key, with, want string }{
		{"", `"a":`, `"x":0`, `{"x":0,"c":[2],"b":"3"}`},
		{"", `"b":`, `"x":0`, `{"a":{"x":0},"c":[2],"b":"3"}`},
		{`"c"`, `"b":`, `"x":0`, `{"a":{"b":1},"c":[2],"x":0}`},
		{"", `"a":`, "", `{"c":[2],"b":"3"}`},
		{"", `"b":`, "", `{"a":{},"c":[2],"b":"3"}`},
		{`"c"`, `"b":`, "", `{"a":{"b":1},"c":[2]}`},
	} {
		if got := editField(doc, test.anchor, test.key, func(string, string) string { return test.with }); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
