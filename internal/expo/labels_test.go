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
	all := labels("1it", "ns", "pod", "sb")
	few := labels("1it", "", "", "sb")
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb"}`)
	block(few, `{iteration="1it",sandbox="sb"}`)
	block(labels("1it", "ns", "", "sb"), `{iteration="1it",namespace_name="ns",sandbox="sb"}`)
	block(labels("1it", "", "pod", "sb"), `{iteration="1it",pod_name="pod",sandbox="sb"}`)

	block(all, `{a="1",iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb"}`, snapshot.Label{Name: "a", Value: "1"})
	block(all, `{iteration="1it",le="1",namespace_name="ns",pod_name="pod",sandbox="sb"}`, snapshot.Label{Name: "le", Value: "1"})
	block(all, `{iteration="1it",namespace_name="ns",ociversion="1",pod_name="pod",sandbox="sb"}`, snapshot.Label{Name: "ociversion", Value: "1"})
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",r="1",sandbox="sb"}`, snapshot.Label{Name: "r", Value: "1"})
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb",z="1"}`, snapshot.Label{Name: "z", Value: "1"})
	block(all, `{A="0",a="1",b="2",iteration="1it",j="3",k="4",namespace_name="ns",pod_name="pod",sandbox="sb",y="5",z="6"}`,
		snapshot.Label{Name: "z", Value: "6"}, snapshot.Label{Name: "k", Value: "4"}, snapshot.Label{Name: "b", Value: "2"}, snapshot.Label{Name: "a", Value: "1"}, snapshot.Label{Name: "j", Value: "3"}, snapshot.Label{Name: "y", Value: "5"}, snapshot.Label{Name: "A", Value: "0"})
	block(few, `{a="1",iteration="1it",k="2",o="3",r="4",sandbox="sb",z="5"}`,
		snapshot.Label{Name: "a", Value: "1"}, snapshot.Label{Name: "k", Value: "2"}, snapshot.Label{Name: "o", Value: "3"}, snapshot.Label{Name: "r", Value: "4"}, snapshot.Label{Name: "z", Value: "5"})
	block(few, `{iteration="1it",iteration_="1",sandbox="sb",sandbox1="2"}`, snapshot.Label{Name: "sandbox1", Value: "2"}, snapshot.Label{Name: "iteration_", Value: "1"})
	block(few, `{empty="",iteration="1it",sandbox="sb"}`, snapshot.Label{Name: "empty", Value: ""})

	block(few, `{a="\"\\\n",iteration="1it",sandbox="sb"}`, snapshot.Label{Name: "a", Value: "\"\\\n"})
	block(few, `{a="\\n",iteration="1it",sandbox="sb"}`, snapshot.Label{Name: "a", Value: `\n`})
	block(few, "{a=\"\t\r\x00é\u2028\",iteration=\"1it\",sandbox=\"sb\"}", snapshot.Label{Name: "a", Value: "\t\r\x00é\u2028"})
	block(few, "{a=\"x\uFFFDy\",iteration=\"1it\",sandbox=\"sb\"}", snapshot.Label{Name: "a", Value: "x\xff\xfey"})
	block(labels("i", "n\"", "p\\\n\xff", "s"), `{iteration="i",namespace_name="n\"",pod_name="p\\\n`+"\uFFFD"+`",sandbox="s"}`)
	block(labels("i", "", `"} 1 1`+"\nforged 1 1", "s"), `{iteration="i",pod_name="\"} 1 1\nforged 1 1",sandbox="s"}`)

	// The server's own families have no labels in common.
	server := new(snapshot.Labels)
	block(server, ``)
	block(server, `{container="",id="/a,",image="",interface="i",name="n,",namespace="",pod=","}`,
		snapshot.Label{Name: "container"}, snapshot.Label{Name: "id", Value: "/a,"}, snapshot.Label{Name: "image"}, snapshot.Label{Name: "interface", Value: "i"},
		snapshot.Label{Name: "name", Value: "n,"}, snapshot.Label{Name: "namespace"}, snapshot.Label{Name: "pod", Value: ","})
	block(server, `{budget="page"}`, snapshot.Label{Name: "budget", Value: "page"})
	block(server, `{a="1",k="2",z="3"}`, snapshot.Label{Name: "z", Value: "3"}, snapshot.Label{Name: "a", Value: "1"}, snapshot.Label{Name: "k", Value: "2"})
	block(&snapshot.Labels{Iteration: "i", Namespace: "n", Pod: "p", RuntimeRoot: "/r", Sandbox: "s"},
		`{iteration="i",namespace_name="n",pod_name="p",runtime_root="/r",sandbox="s"}`)
}

// TestBounds: the label le of a bucket is in its place among the other labels.
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
	label := func(name string) snapshot.Label { return snapshot.Label{Name: name, Value: ",1,"} }
	sandbox, server := labels("i", "n", "", "s"), new(snapshot.Labels)
	check(sandbox, `{iteration="i",le="0.5",namespace_name="n",sandbox="s"}`)
	check(sandbox, `{a=",1,",iteration="i",k=",1,",le="0.5",lf=",1,",namespace_name="n",o=",1,",sandbox="s",z=",1,"}`,
		label("a"), label("k"), label("lf"), label("o"), label("z"))
	check(server, `{le="0.5"}`)
	check(server, `{le="0.5"}`, []snapshot.Label{}...)
	check(server, `{group=",1,",le="0.5"}`, label("group"))
	check(server, `{k=",1,",le="0.5"}`, label("k"))
	check(server, `{le="0.5",lf=",1,"}`, label("lf"))
	check(server, `{le="0.5",z=",1,"}`, label("z"))
	check(server, `{a=",1,",b=",1,",k=",1,",l=",1,",le="0.5",lf=",1,",o=",1,",z=",1,"}`,
		label("a"), label("b"), label("k"), label("l"), label("lf"), label("o"), label("z"))
}
