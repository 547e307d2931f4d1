package liars

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// OfUsage returns liars about the resources that they use. Their metrics are honest, so that they are
// served in any case.
func OfUsage() []Liar {
	all := append(cpuLiars(), eventLiars()...)
	for i := range all {
		all[i].Topic = "usage"
	}
	return all
}

var (
	usagePattern  = regexp.MustCompile(`"containerUsage":\{.*?\}`)
	figurePattern = regexp.MustCompile(`:(\d+)`)
)

// scale returns a Behavior that replaces each CPU time by the result of f.
func scale(f func(n int64) int64) simulate.Behavior {
	return simulate.EditEvent(func(reply string) string {
		return usagePattern.ReplaceAllStringFunc(reply, func(usage string) string {
			return figurePattern.ReplaceAllStringFunc(usage, func(figure string) string {
				n, _ := strconv.ParseInt(figure[1:], 10, 64)
				return fmt.Sprint(":", f(n))
			})
		})
	})
}

// cpuLiars report other CPU times than their containers used.
func cpuLiars() []Liar {
	replace := func(name, describe, old, new string) Liar {
		return does(name, describe, simulate.EditEvent(func(reply string) string { return strings.ReplaceAll(reply, old, new) }))
	}
	return []Liar{
		does("cpu-tenfold", "reports ten times its CPU time", scale(func(n int64) int64 { return 10 * n })),
		does("cpu-most", "reports more CPU time in each reply than there has been", scale(func(n int64) int64 { return n << 30 })),
		does("cpu-none", "reports no CPU time", scale(func(int64) int64 { return 0 })),
		does("cpu-falls", "reports less CPU time with each reply", scale(func(n int64) int64 { return 1e18 - n })),
		replace("cpu-of-another", "reports its CPU time for a container of another sandbox", `"a":`, `"honest":`),
		does("cpu-of-nobody", "reports no container", simulate.EditEvent(func(reply string) string {
			return usagePattern.ReplaceAllString(reply, `"containerUsage":{}`)
		})),
	}
}

// eventLiars send other replies than honest sandboxes do.
func eventLiars() []Liar {
	usage := func(name, describe, usage string) Liar {
		return does(name, describe, simulate.EditEvent(func(reply string) string {
			return usagePattern.ReplaceAllLiteralString(reply, `"containerUsage":`+usage)
		}))
	}
	data := func(name, describe, pattern, replacement string) Liar {
		p := regexp.MustCompile(pattern)
		return does(name, describe, simulate.EditEvent(func(reply string) string { return p.ReplaceAllString(reply, replacement) }))
	}
	var million strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&million, `"c%d":1,`, i)
	}
	many := strings.Repeat(`{"Name":"e","TxBytes":0},`, 100)
	return []Liar{
		usage("containers-million", "reports a million containers", "{"+million.String()+`"a":1}`),
		usage("containers-many", "reports 1,400 containers", "{"+million.String()[:12_890]+`"a":1}`),
		usage("container-of-lines", "reports a container whose name forges a line", `{"a\nrunsc_fs_opens{sandbox=\"honest\"} 7\n":1}`),
		usage("container-escapes", "reports a container whose name controls a terminal", `{"\u001b[2J":1}`),
		usage("container-long", "reports a container with a name of 100 KB", `{"`+strings.Repeat("a", 100_000)+`":1}`),
		usage("container-twice", "reports a container twice", `{"a":1,"a":2}`),
		usage("cpu-negative", "reports a negative CPU time", `{"a":-1}`),
		usage("cpu-beyond", "reports a CPU time beyond 64 bits", `{"a":18446744073709551616}`),
		data("event-of-another", "replies about another container", `"id":"\w+"`, `"id":"honest"`),
		data("memory-negative", "reports negative memory", `"usage":\d+`, `"usage":-1`),
		data("memory-tenfold", "reports ten times its memory", `"usage":(\d+)`, `"usage":${1}0`),
		data("traffic-less", "reports a tenth of its traffic", `"TxBytes":(\d+)0`, `"TxBytes":$1`),
		data("traffic-tenfold", "reports ten times its traffic", `"TxBytes":([1-9]\d*)`, `"TxBytes":${1}0`),
		data("interfaces-many", "reports a hundred interfaces", `"network_interfaces":\[`, `"network_interfaces":[`+many),
	}
}
