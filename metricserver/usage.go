package metricserver

import "fmt"

// Usage selects what the server measures of each sandbox on the host, besides what the sandbox
// reports.
type Usage string

// The values of Usage.
const (
	// UsageOff measures nothing.
	UsageOff Usage = "off"
	// UsageOwn measures each sandbox's CPU time, memory, threads, pressure and network, under names
	// that begin with sandmeter_. It reads /proc and the cgroups of the sandboxes, with every
	// collection. A sandbox with a cgroup of its own is also asked what its containers used, and its
	// CPU time is split among them.
	UsageOwn Usage = "own"
)

// usageOf returns the default of Options.Usage.
func usageOf(dropIn bool) Usage {
	if dropIn {
		return UsageOff
	}
	return UsageOwn
}

func (u Usage) check() error {
	switch u {
	case UsageOff, UsageOwn:
		return nil
	}
	return fmt.Errorf("usage %q: use own or off", string(u))
}
