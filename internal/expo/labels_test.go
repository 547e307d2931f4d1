package expo

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func TestLabels(t *testing.T) {
	block := func(l *snapshot.Labels, want string, extra ...snapshot.Label) {
		t.Helper()
		got := textLabels.labelsOf(l).block
		if len(extra) > 0 {
			got = string(textLabels.labelsOf(l).append(nil, textLabels.setText(snapshot.NewLabelSet(extra...))))
		}
		if got != want {
			t.Errorf("%s, want\n%s", got, want)
		}
	}
	label := func(name, value string) snapshot.Label { return snapshot.Label{Name: name, Value: value} }
	all := labels("1it", "ns", "pod", "sb")
	few := labels("1it", "", "", "sb")
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb"}`)
	block(few, `{iteration="1it",sandbox="sb"}`)
	block(labels("1it", "", "pod", "sb"), `{iteration="1it",pod_name="pod",sandbox="sb"}`)
	block(&snapshot.Labels{Iteration: "i", Namespace: "n", Pod: "p", RuntimeRoot: "/r", Sandbox: "s"},
		`{iteration="i",namespace_name="n",pod_name="p",runtime_root="/r",sandbox="s"}`)

	// Others are in their places among them.
	block(all, `{A="0",a="1",b="2",iteration="1it",j="3",k="4",namespace_name="ns",pod_name="pod",r="5",sandbox="sb",y="6",z="7"}`,
		label("z", "7"), label("k", "4"), label("b", "2"), label("a", "1"), label("r", "5"), label("j", "3"), label("y", "6"), label("A", "0"))
	block(few, `{a="1",iteration="1it",k="2",o="3",r="4",sandbox="sb",z="5"}`, label("a", "1"), label("k", "2"), label("o", "3"), label("r", "4"), label("z", "5"))
	block(few, `{empty="",iteration="1it",iteration_="1",sandbox="sb",sandbox1="2"}`, label("sandbox1", "2"), label("iteration_", "1"), label("empty", ""))

	// Values are escaped.
	block(few, `{a="\"\\\n",b="\\n",iteration="1it",sandbox="sb"}`, label("a", "\"\\\n"), label("b", `\n`))
	block(few, "{a=\"\t\r\x00é\u2028\",b=\"x\uFFFDy\",iteration=\"1it\",sandbox=\"sb\"}", label("a", "\t\r\x00é\u2028"), label("b", "x\xff\xfey"))
	block(labels("i", "n\"", `"} 1 1`+"\nforged 1 1\xff", "s"), `{iteration="i",namespace_name="n\"",pod_name="\"} 1 1\nforged 1 1`+"\uFFFD"+`",sandbox="s"}`)

	// The server's own families have no labels in common.
	server := new(snapshot.Labels)
	block(server, ``)
	block(server, `{container="",id="/a,",image="",interface="i",name="n,",pod=","}`,
		label("container", ""), label("id", "/a,"), label("image", ""), label("interface", "i"), label("name", "n,"), label("pod", ","))
	block(server, `{a="1",k="2",z="3"}`, label("z", "3"), label("a", "1"), label("k", "2"))
}

// TestBounds: the label le of a bucket comes after all other labels.
func TestBounds(t *testing.T) {
	check := func(l *snapshot.Labels, want string, extra ...snapshot.Label) {
		t.Helper()
		var ins *insertion
		if extra != nil {
			ins = textLabels.setText(snapshot.NewLabelSet(extra...))
		}
		if got := string(textLabels.labelsOf(l).appendBound(nil, ins, []byte("0.5"))); got != want {
			t.Errorf("%s, want\n%s", got, want)
		}
	}
	group := snapshot.Label{Name: "group", Value: "}"}
	sandbox, server := labels("i", "n", "", "s"), new(snapshot.Labels)
	check(sandbox, `{iteration="i",namespace_name="n",sandbox="s",le="0.5"}`)
	check(sandbox, `{group="}",iteration="i",namespace_name="n",sandbox="s",le="0.5"}`, group)
	check(server, `{le="0.5"}`)
	check(server, `{le="0.5"}`, []snapshot.Label{}...)
	check(server, `{group="}",le="0.5"}`, group)
}
