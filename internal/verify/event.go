package verify

import (
	"bytes"
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/jscan"
)

// Limits of a reply to an Event request. A pod has some tens of containers.
const (
	MaxEventReply    = 160 << 10 // bytes
	MaxContainers    = 512
	maxContainerName = 253 // bytes
	maxInterfaces    = 64
)

// A Container is how a reply may refer to a container: by its ID or, where the guest mounts cgroup
// v1, by its name.
type Container struct {
	ID   string
	Name string // empty: none, or that of a later container too
}

// NotReported is the figure of a container that the reply lacks.
const NotReported = -1

// An Event is what a sandbox reports of the resources that it uses. The figures are not negative,
// and that is all: each may be a lie, and none is a counter. See package claims for their use.
type Event struct {
	CPU        []time.Duration // of the containers that ReadEvent was given; NotReported: the reply lacks it
	Unknown    int             // containers in the reply that ReadEvent was not given
	UnknownCPU time.Duration   // of all of those
	Memory     int64           // bytes, of the container that was asked for
	Processes  int64           // threads and zombies, of the container that was asked for
	Interfaces int             // network interfaces, without lo
	Sent       int64           // bytes that they have sent
}

// ReadEvent checks the reply to an Event request about the container with the ID asked, of a sandbox
// with the containers, and keeps none of its bytes. The error is ErrIncomplete or a *Breach.
func ReadEvent(reply control.Reply, asked string, containers []Container) (Event, error) {
	r := eventReader{reader: reader{Scanner: jscan.New(reply.Untrusted())}, asked: asked, containers: containers}
	r.event.CPU = make([]time.Duration, len(containers))
	for i := range r.event.CPU {
		r.event.CPU[i] = NotReported
	}
	if err := r.envelope(r.result); err != nil {
		return Event{}, err
	}
	return r.event, nil
}

// An eventReader reads one reply to an Event request.
type eventReader struct {
	reader
	asked      string
	containers []Container
	event      Event
	reported   int // containers so far, known or not
}

// result reads {"event":{…},"containerUsage":{…}}.
func (r *eventReader) result() {
	r.object(2, field{"event", '{', r.about}, field{"containerUsage", '{', r.usage})
}

// about reads {"type":…,"id":…,"data":{…}}.
func (r *eventReader) about() {
	r.object(2, field{"id", '"', r.id}, field{"data", '{', r.data})
}

func (r *eventReader) id() {
	if id := r.Str(); string(id) != r.asked {
		r.broken(RuleContainer, "%s", quote(id))
	}
}

// data reads {"memory":{"usage":{"usage":…}},"pids":{"current":…},"network_interfaces":…}. Figures
// that are 0 are left out.
func (r *eventReader) data() {
	memory := func() { r.object(0, field{"usage", '0' | orNull, func() { r.event.Memory = r.figure("memory") }}) }
	current := func() { r.event.Processes = r.figure("pids") }
	r.object(0,
		field{"memory", '{' | orNull, func() { r.object(0, field{"usage", '{' | orNull, memory}) }},
		field{"pids", '{' | orNull, func() { r.object(0, field{"current", '0' | orNull, current}) }},
		field{"network_interfaces", '[' | orNull, r.interfaces})
}

// figure reads a number that is not negative.
func (r *eventReader) figure(what string) int64 {
	n := r.integer()
	if n < 0 {
		r.broken(RuleUsage, "%s: %d", what, n)
	}
	return max(n, 0)
}

// interfaces reads [{"Name":…,"TxBytes":…},…].
func (r *eventReader) interfaces() {
	for r.Array(); r.more(); {
		var sent int64
		loopback := false
		name := func() { loopback = string(r.Str()) == "lo" }
		if r.want('{', true, "network_interfaces") {
			r.object(2, field{"Name", '"', name}, field{"TxBytes", '0', func() { sent = r.figure("TxBytes") }})
		}
		if loopback {
			continue
		}
		r.event.Sent = saturated(r.event.Sent, sent)
		if r.event.Interfaces++; r.event.Interfaces > maxInterfaces {
			r.broken(RuleTooMany, "more than %d interfaces", maxInterfaces)
		}
	}
}

// usage reads {"ID":…,…}: the CPU time of all containers.
func (r *eventReader) usage() {
	for r.Object(); r.more(); {
		key := r.Key()
		if r.Err() != nil || !r.checkName(key) {
			return
		}
		at := r.find(key)
		if !r.want('0', at < 0 || r.event.CPU[at] == NotReported, "a figure of containerUsage") {
			return
		}
		cpu := time.Duration(r.figure("CPU time"))
		if at >= 0 {
			r.event.CPU[at] = cpu
			continue
		}
		r.event.Unknown++
		r.event.UnknownCPU = time.Duration(saturated(int64(r.event.UnknownCPU), int64(cpu)))
	}
}

// checkName counts a container, and reports whether its name and the number of containers are within
// limits.
func (r *eventReader) checkName(name []byte) bool {
	r.reported++
	switch {
	case r.reported > MaxContainers:
		r.broken(RuleTooMany, "more than %d containers", MaxContainers)
	case len(name) == 0 || len(name) > maxContainerName || !printable(name):
		r.broken(RuleName, "%s", quote(name))
	default:
		return true
	}
	return false
}

// find returns the index of the container with the ID or, if there is none, with the name; -1 for
// none.
func (r *eventReader) find(key []byte) int {
	byName := -1
	for i := range r.containers {
		switch string(key) {
		case r.containers[i].ID:
			return i
		case r.containers[i].Name:
			byName = i
		}
	}
	return byName
}

func printable(text []byte) bool {
	return utf8.Valid(text) && bytes.IndexFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
}

// saturated returns the sum of two numbers that are not negative, or the largest number.
func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
