package simulate

import (
	"fmt"
	"maps"
	"time"
)

// A Use is what a sandbox reports of the resources that it uses, in reply to containerManager.Event.
type Use struct {
	CPU        map[string]time.Duration // by container ID, or by name as where the guest mounts cgroup v1
	Memory     map[string]int64         // bytes, by container ID
	Processes  map[string]int64         // by container ID
	Interfaces []Interface              // nil: null, as with --network=none
}

// An Interface is a network interface as the sandbox sees it.
type Interface struct {
	Name      string
	RxBytes   int64
	RxPackets int64
	RxErrors  int64
	RxDropped int64
	TxBytes   int64
	TxPackets int64
	TxErrors  int64
	TxDropped int64
}

// Report sets what the sandbox reports from the next request on. Nothing has to be true. Before the
// first call, each container that the sandbox was started with reports that it has used nothing.
func (s *Sandbox) Report(u Use) {
	u.CPU, u.Memory, u.Processes = maps.Clone(u.CPU), maps.Clone(u.Memory), maps.Clone(u.Processes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use = u
}

// idleUse returns the use of a sandbox whose containers have used nothing.
func (spec *Spec) idleUse() Use {
	u := Use{CPU: map[string]time.Duration{}}
	for id := range spec.containerIDs() {
		u.CPU[id] = 0
	}
	return u
}

// eventFormat is the format of the reply, with fields in the order of runsc.
const eventFormat = `{"success":true,"err":"","result":{"event":{"type":"stats","id":%s,"data":{"cpu":{"usage":{}},"memory":{` +
	`"usage":{"limit":0,%s"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},` +
	`"pids":{%s},"network_interfaces":%s}},"containerUsage":%s}}`

// knows reports whether there is a container with the ID. The caller holds s.mu.
func (s *Sandbox) knows(container string) bool {
	_, cpu := s.use.CPU[container]
	_, memory := s.use.Memory[container]
	return container == s.id || cpu || memory
}

// appendEvent appends the reply to an Event about a container.
func (s *Sandbox) appendEvent(b []byte, container string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.knows(container) {
		return appendError(b, `container "`+container+`" not found`)
	}
	memory, processes := "", ""
	if n := s.use.Memory[container]; n != 0 {
		memory = fmt.Sprintf(`"usage":%d,`, n)
	}
	if n := s.use.Processes[container]; n != 0 {
		processes = fmt.Sprintf(`"current":%d`, n)
	}
	return fmt.Appendf(b, eventFormat, mustJSON(container), memory, processes, mustJSON(s.use.Interfaces), mustJSON(s.use.CPU))
}
