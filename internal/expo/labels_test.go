package expo

import (
	"testing"
)

func TestLabels(t *testing.T) {
	block := func(l *Labels, want string, extra ...Label) {
		t.Helper()
		before := append([]Label(nil), extra...)
		if got := l.Block(extra...); got != want {
			t.Errorf("%s, want\n%s", got, want)
		}
		for i := range before {
			if extra[i] != before[i] {
				t.Error("the caller's labels were changed")
			}
		}
	}
	all := NewLabels("1it", "ns", "pod", "sb")
	few := NewLabels("1it", "", "", "sb")
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb"}`)
	block(few, `{iteration="1it",sandbox="sb"}`)
	block(NewLabels("1it", "ns", "", "sb"), `{iteration="1it",namespace_name="ns",sandbox="sb"}`)
	block(NewLabels("1it", "", "pod", "sb"), `{iteration="1it",pod_name="pod",sandbox="sb"}`)

	block(all, `{a="1",iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb"}`, Label{"a", "1"})
	block(all, `{iteration="1it",le="1",namespace_name="ns",pod_name="pod",sandbox="sb"}`, Label{"le", "1"})
	block(all, `{iteration="1it",namespace_name="ns",ociversion="1",pod_name="pod",sandbox="sb"}`, Label{"ociversion", "1"})
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",r="1",sandbox="sb"}`, Label{"r", "1"})
	block(all, `{iteration="1it",namespace_name="ns",pod_name="pod",sandbox="sb",z="1"}`, Label{"z", "1"})
	block(all, `{A="0",a="1",b="2",iteration="1it",j="3",k="4",namespace_name="ns",pod_name="pod",sandbox="sb",y="5",z="6"}`,
		Label{"z", "6"}, Label{"k", "4"}, Label{"b", "2"}, Label{"a", "1"}, Label{"j", "3"}, Label{"y", "5"}, Label{"A", "0"})
	block(few, `{a="1",iteration="1it",k="2",o="3",r="4",sandbox="sb",z="5"}`,
		Label{"a", "1"}, Label{"k", "2"}, Label{"o", "3"}, Label{"r", "4"}, Label{"z", "5"})
	block(few, `{iteration="1it",iteration_="1",sandbox="sb",sandbox1="2"}`, Label{"sandbox1", "2"}, Label{"iteration_", "1"})
	block(few, `{empty="",iteration="1it",sandbox="sb"}`, Label{"empty", ""})

	block(few, `{a="\"\\\n",iteration="1it",sandbox="sb"}`, Label{"a", "\"\\\n"})
	block(few, `{a="\\n",iteration="1it",sandbox="sb"}`, Label{"a", `\n`})
	block(few, "{a=\"\t\r\x00é\u2028\",iteration=\"1it\",sandbox=\"sb\"}", Label{"a", "\t\r\x00é\u2028"})
	block(few, "{a=\"x\uFFFDy\",iteration=\"1it\",sandbox=\"sb\"}", Label{"a", "x\xff\xfey"})
	block(NewLabels("i", "n\"", "p\\\n\xff", "s"), `{iteration="i",namespace_name="n\"",pod_name="p\\\n`+"\uFFFD"+`",sandbox="s"}`)
	block(NewLabels("i", "", `"} 1 1`+"\nforged 1 1", "s"), `{iteration="i",pod_name="\"} 1 1\nforged 1 1",sandbox="s"}`)
}

func TestFreeLabelName(t *testing.T) {
	for _, name := range []string{"a", "A", "_", "_a", "a0", "platform", "sandbox_", "le", "quantile"} {
		if !FreeLabelName(name) {
			t.Errorf("%q is not free", name)
		}
	}
	for _, name := range []string{"", "0", "0a", "a-b", "a b", "a:b", "é", "a\n", `a="`, "__", "__name__", "iteration", "sandbox", "pod_name", "namespace_name"} {
		if FreeLabelName(name) {
			t.Errorf("%q is free", name)
		}
	}
}
