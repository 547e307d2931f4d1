//go:build linux

package testkit

import "github.com/sandmeter/sandmeter/internal/simulate/liars"

// UsageLog returns a part of the line that the log has about a liar of liars.OfUsage.
func UsageLog(l liars.Liar) string {
	const differs = `msg="Sandbox reports other usage than the host measured" sandbox=a of=`
	switch l.Name {
	case "cpu-tenfold", "cpu-most", "cpu-none", "cpu-falls", "cpu-of-nobody":
		return differs + "cpu"
	case "cpu-of-another":
		return `msg="Sandbox reports usage of unknown containers" sandbox=a containers=1`
	case "memory-tenfold":
		return differs + "memory"
	case "traffic-less", "traffic-tenfold":
		return differs + "network_transmit"
	case "containers-million":
		return `msg="Sandbox does not report the usage of its containers" sandbox=a reason=too_long`
	}
	return `msg="Sandbox does not report the usage of its containers" sandbox=a reason=reply_refused`
}
