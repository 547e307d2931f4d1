package collect

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/totals"
)

// TestTotals: totals are over all lives, by the annotation of the root container. A sandbox that is
// older than the server counts from its first reply on, and totals stay when sandboxes end.
func TestTotals(t *testing.T) {
	const key = "example.com/team"
	n := newNode(t, func(o *Options) {
		by, err := totals.ParseBy("annotation:" + key)
		if err != nil {
			t.Fatal(err)
		}
		o.Totals, o.GroupAnnotation = totals.New(totals.Options{By: by, Metrics: []string{"fs_opens"}, NoUsage: true}), by.Annotation()
	})
	start := func(id, team string, opens int64) *simulate.Sandbox {
		return n.start(simulate.Spec{ID: id, Growth: 10, Points: []simulate.Point{{Metric: "fs_opens", Int: opens}},
			Root: simulate.Container{Annotations: map[string]string{key: team}},
			More: []simulate.Container{{ID: id + "-other", Annotations: map[string]string{key: "another"}}}})
	}
	const opens, started = "sandmeter_sandboxes_fs_opens_total", "sandmeter_sandboxes_started_total"

	start("older", "blue", 100)
	page := n.page()
	n.expect(page, opens, opens+`{group="blue"} 0`)
	n.expect(page, started, started+`{group="blue"} 0`)

	newer := start("newer", "red", 5)
	page = n.page()
	first := series(page, opens)
	n.expect(page, opens, opens+`{group="blue"} 10`, opens+`{group="red"} 15`)
	n.expect(page, started, started+`{group="blue"} 0`, started+`{group="red"} 1`)

	newer.Stop()
	page = n.page()
	n.expect(page, opens, opens+`{group="blue"} 20`, first[1])
	n.expect(page, started, started+`{group="blue"} 0`, started+`{group="red"} 1`)
}
