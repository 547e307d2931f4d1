package host

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// maxInterfaces limits the interfaces of a sandbox. A pod has one or two.
const maxInterfaces = 64

// interfaceCounters are the counters of an interface in an account. They are kept when the
// interface is gone, so that they go on if it comes back.
type interfaceCounters struct {
	name   string
	counts [fact.InterfaceCounters]counter
}

// locateNetwork decides whether the sentry's network namespace is the sandbox's.
func (a *Account) locateNetwork() {
	a.network = ""
	network, err := os.Readlink(a.file("ns/net"))
	switch {
	case err != nil:
		a.lack(fact.NetworkUnreadable)
	case a.subject.HostNetwork, slices.Contains(a.meter.networks, network):
		a.lack(fact.NetworkShared)
	default:
		a.network = network
	}
}

// readNetwork reads the interfaces of the sentry's network namespace. The file is opened for each
// reading, since an open one would keep the namespace from being removed.
func (a *Account) readNetwork(u *fact.Reading) {
	if a.network == "" {
		return
	}
	data, err := a.meter.read(a.file("net/dev"))
	if err == nil {
		u.Interfaces, err = appendInterfaces(u.Interfaces, data)
	}
	if err != nil || len(a.interfaces) > maxInterfaces {
		u.Interfaces = u.Interfaces[:0]
		u.Lack(fact.NetworkUnreadable)
	}
}

// appendInterfaces appends the interfaces in /proc/PID/net/dev but lo, whose traffic in a sandbox
// never reaches the host.
func appendInterfaces(list []fact.Interface, data []byte) ([]fact.Interface, error) {
	const headLines = 2
	line := 0
	for text := range bytes.Lines(data) {
		if line++; line <= headLines {
			continue
		}
		name, rest, ok := bytes.Cut(text, []byte(":"))
		if name = bytes.TrimSpace(name); string(name) == "lo" {
			continue
		}
		if !ok || len(name) == 0 || !utf8.Valid(name) || len(list) == maxInterfaces {
			return nil, errFormat
		}
		counters, err := parseInterface(rest)
		if err != nil {
			return nil, err
		}
		list = append(list, fact.Interface{Name: string(name), Counters: counters})
	}
	return list, nil
}

// netdevColumns are the columns of /proc/PID/net/dev by InterfaceCounters.
var netdevColumns = [fact.InterfaceCounters]int{
	fact.ReceiveBytes: 0, fact.ReceivePackets: 1, fact.ReceiveErrors: 2, fact.ReceiveDropped: 3, fact.TransmitBytes: 8, fact.TransmitPackets: 9, fact.TransmitErrors: 10, fact.TransmitDropped: 11,
}

// parseInterface parses the columns of an interface.
func parseInterface(text []byte) (counters [fact.InterfaceCounters]int64, err error) {
	const columns = 16
	column := 0
	for word := range bytes.FieldsSeq(text) {
		if i := slices.Index(netdevColumns[:], column); i >= 0 {
			n, err := strconv.ParseUint(string(word), 10, 63)
			if err != nil {
				return counters, errFormat
			}
			counters[i] = int64(n)
		}
		column++
	}
	if column < columns {
		return counters, errFormat
	}
	return counters, nil
}

// countInterface replaces the kernel's counters by the account's.
func (a *Account) countInterface(i *fact.Interface) {
	at := slices.IndexFunc(a.interfaces, func(c *interfaceCounters) bool { return c.name == i.Name })
	if at < 0 {
		at = len(a.interfaces)
		a.interfaces = append(a.interfaces, &interfaceCounters{name: i.Name})
	}
	counts := &a.interfaces[at].counts
	for k := range counts {
		i.Counters[k] = counts[k].add(0, i.Counters[k])
	}
}
