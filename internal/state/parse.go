package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// parse parses a whole state file and keeps none of its bytes. It skips fields that are not needed.
func parse(data []byte, shared *Shared) (*Container, error) {
	s := jscan.New(data)
	p := parser{Scanner: &s, shared: shared}
	c := p.container()
	if err := s.End(); err != nil {
		return nil, err
	}
	switch {
	case c.ID == "":
		return nil, fmt.Errorf("missing container ID")
	case c.CreatedAt.IsZero():
		return nil, fmt.Errorf("missing creation time")
	}
	return c, nil
}

// rawValue skips a value and returns its bytes.
func rawValue(s *jscan.Scanner) []byte {
	s.Kind() // moves to the value's first byte
	from := s.Rest()
	start := s.Offset()
	s.Skip()
	return from[:s.Offset()-start]
}

type parser struct {
	*jscan.Scanner
	shared *Shared
}

// fields calls field for each field of an object. A null counts as an object without fields.
func (p *parser) fields(field func(key []byte)) {
	if p.Null() {
		return
	}
	for p.Object(); p.More(); {
		field(p.Key())
	}
}

func (p *parser) str() string { return string(p.Str()) }

func (p *parser) time() time.Time {
	text := p.str()
	if p.Err() != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		p.Fail("invalid RFC 3339 time")
	}
	return t
}

func (p *parser) container() *Container {
	c := new(Container)
	var cri criAnnotations
	p.fields(func(key []byte) {
		switch string(key) {
		case "id":
			c.ID = p.str()
		case "spec":
			p.spec(&c.Spec, &cri)
		case "createdAt":
			c.CreatedAt = p.time()
		case "status":
			c.Status = p.str()
		case "goferPid":
			c.GoferPID = p.pid()
		case "sandbox":
			c.SandboxID = p.sandbox(&c.facts)
		default:
			p.Skip()
		}
	})
	cri.complete(c)
	return c
}

func (p *parser) sandbox(f *Sandbox) (id string) {
	p.fields(func(key []byte) {
		switch string(key) {
		case "id":
			id = p.str()
		case "podName":
			f.PodName = p.str()
		case "namespace":
			f.Namespace = p.str()
		case "pid":
			f.PID = p.pid()
		case "registeredMetrics":
			if !p.Null() {
				f.Registration = p.shared.registrations.intern(p.Scanner)
			}
		case "metricMetadata":
			f.Metadata = p.shared.metadata.read(p, p.metadata)
		case "metricServerAddress":
			f.MetricServer = p.str()
		case "controlSocketPath":
			f.ControlSocket = p.str()
		case "startTime":
			f.StartTime = p.time()
		case "checkpointed":
			f.Checkpointed = p.Bool()
		case "restored":
			f.Restored = p.Bool()
		case "cpuTimeSaved":
			f.CPUSaved = time.Duration(p.Int())
		case "wallTimeSaved":
			f.WallSaved = time.Duration(p.Int())
		default:
			p.Skip()
		}
	})
	return id
}

func (p *parser) pid() int {
	n := p.Int()
	if n < 0 || n > 1<<30 {
		p.Fail("invalid process ID")
		return 0
	}
	return int(n)
}

func (p *parser) metadata() []Pair {
	var pairs []Pair
	p.fields(func(key []byte) { pairs = append(pairs, Pair{string(key), p.str()}) })
	slices.SortStableFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(pairs, func(a, b Pair) bool { return a.Name == b.Name })
}

func (p *parser) spec(spec *Spec, cri *criAnnotations) {
	p.fields(func(key []byte) {
		spec.Present = true
		switch string(key) {
		case "ociVersion":
			spec.OCIVersion = p.str()
		case "process":
			p.process(spec)
		case "annotations":
			p.annotations(spec, cri)
		case "linux":
			p.linux(spec)
		case "mounts":
			spec.CgroupMount = p.cgroupMount()
		default:
			p.Skip()
		}
	})
}

func (p *parser) annotations(spec *Spec, cri *criAnnotations) {
	p.fields(func(key []byte) {
		if kept := p.shared.annotation; kept != "" && string(key) == kept {
			spec.Annotation = p.next(MaxAnnotation)
		}
		switch string(key) {
		case "dev.gvisor.internal.nvproxy":
			spec.NVProxy = p.str() == "true"
		case "dev.gvisor.internal.tpuproxy":
			spec.TPUProxy = p.str() == "true"
		default:
			cri.read(p, key)
		}
	})
}

// next returns at most so many bytes of the next value if it is a string, and does not move on.
func (p *parser) next(most int) string {
	if p.Kind() != '"' {
		return ""
	}
	ahead := *p.Scanner
	text := ahead.Str()
	return string(text[:min(len(text), most)])
}

func (p *parser) linux(spec *Spec) {
	p.fields(func(key []byte) {
		switch string(key) {
		case "cgroupsPath":
			spec.CgroupsPath = p.str()
		case "resources":
			p.fields(func(key []byte) {
				switch string(key) {
				case "cpu":
					p.cpu(spec)
				case "memory":
					spec.MemoryLimit = p.memoryLimit()
				default:
					p.Skip()
				}
			})
		default:
			p.Skip()
		}
	})
}

// field calls read for the field of an object with the name. A null has none.
func (p *parser) field(name string, read func()) {
	p.fields(func(key []byte) {
		if string(key) == name {
			read()
		} else {
			p.Skip()
		}
	})
}

// cgroupMount reads the mounts, and reports whether one is of cgroups.
func (p *parser) cgroupMount() (there bool) {
	if p.Null() {
		return false
	}
	for p.Array(); p.More(); {
		p.field("type", func() { there = p.str() == "cgroup" || there })
	}
	return there
}

// cpu reads the limits on CPU time.
func (p *parser) cpu(spec *Spec) {
	const usualPeriod = 100_000 // microseconds, as the kernel has it
	p.fields(func(key []byte) {
		switch string(key) {
		case "quota":
			spec.CPUQuota = p.limit()
		case "period":
			spec.CPUPeriod = p.limit()
		case "shares":
			spec.CPUShares = p.limit()
		default:
			p.Skip()
		}
	})
	spec.CPULimit = float64(spec.CPUQuota) / float64(cmp.Or(spec.CPUPeriod, usualPeriod))
}

// memoryLimit reads the limit on memory in bytes, or 0 for none.
func (p *parser) memoryLimit() (bytes int64) {
	p.field("limit", func() { bytes = p.limit() })
	return bytes
}

// limit reads a number. Null and negative numbers mean that there is no limit, and are returned as
// 0.
func (p *parser) limit() int64 {
	if p.Null() {
		return 0
	}
	return max(0, p.Int())
}

func (p *parser) process(spec *Spec) {
	p.fields(func(key []byte) {
		switch string(key) {
		case "user":
			uid := int64(-1)
			p.field("uid", func() { uid = p.Int() })
			spec.RunsAsUID0 = uid == 0
		case "capabilities":
			spec.Capabilities = p.shared.capabilities.read(p, p.capabilities)
		default:
			p.Skip()
		}
	})
}

// capabilities reads all sets, with any names, and returns their union.
func (p *parser) capabilities() []string {
	var union []string
	p.fields(func([]byte) {
		if p.Null() {
			return
		}
		for p.Array(); p.More(); {
			union = append(union, p.str())
		}
	})
	slices.Sort(union)
	return slices.Compact(union)
}
