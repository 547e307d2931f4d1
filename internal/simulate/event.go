package simulate

import (
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

// These types define the format of the reply, with fields in the order of runsc.

type eventReply struct {
	Event          event                    `json:"event"`
	ContainerUsage map[string]time.Duration `json:"containerUsage"`
}

type event struct {
	Type string    `json:"type"`
	ID   string    `json:"id"`
	Data eventData `json:"data"`
}

type eventData struct {
	CPU struct {
		Usage struct{} `json:"usage"`
	} `json:"cpu"`
	Memory     eventMemory `json:"memory"`
	Pids       eventPids   `json:"pids"`
	Interfaces []Interface `json:"network_interfaces"`
}

type eventMemory struct {
	Usage     memoryEntry `json:"usage"`
	Swap      memoryEntry `json:"swap"`
	Kernel    memoryEntry `json:"kernel"`
	KernelTCP memoryEntry `json:"kernelTCP"`
}

type memoryEntry struct {
	Limit   int64 `json:"limit"`
	Usage   int64 `json:"usage,omitempty"`
	Failcnt int64 `json:"failcnt"`
}

type eventPids struct {
	Current int64 `json:"current,omitempty"`
}

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
	reply := eventReply{Event: event{Type: "stats", ID: container}, ContainerUsage: s.use.CPU}
	reply.Event.Data.Memory.Usage.Usage = s.use.Memory[container]
	reply.Event.Data.Pids.Current = s.use.Processes[container]
	reply.Event.Data.Interfaces = s.use.Interfaces
	b = append(b, `{"success":true,"err":"","result":`...)
	return append(append(b, mustJSON(reply)...), '}')
}
