package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// The server's own families, by their names behind the prefix.
const (
	famServerPresence = "meta_metric_server_presence"
	famNumBroken      = "meta_num_sandboxes_broken_metrics"
	famNumCheckpoint  = "meta_num_sandboxes_checkpointed"
	famNumRestored    = "meta_num_sandboxes_restored"
	famNumRunning     = "meta_num_sandboxes_running"
	famNumTotal       = "meta_num_sandboxes_total"
	famCapabilities   = "meta_sandbox_capabilities"
	famCheckpointed   = "meta_sandbox_checkpointed"
	famCPUSaved       = "meta_sandbox_cpu_time_saved_milliseconds"
	famCreation       = "meta_sandbox_creation_time_seconds"
	famFailure        = "meta_sandbox_failure"
	famMetadata       = "meta_sandbox_metadata"
	famPresence       = "meta_sandbox_presence"
	famRestored       = "meta_sandbox_restored"
	famRunning        = "meta_sandbox_running"
	famWallSaved      = "meta_sandbox_wall_time_saved_milliseconds"
	famSpec           = "meta_spec_metadata"

	famStartTime = "process_start_time_seconds" // this one has no prefix
)

// ownTexts are the HELP texts of the server's own families.
var ownTexts = map[string]string{
	famServerPresence: "Boolean metric always set to 1 for the metric server process.",
	famNumBroken:      "Number of sandboxes from which we cannot export metrics.",
	famNumCheckpoint:  "Number of sandboxes present that have been checkpointed.",
	famNumRestored:    "Number of sandboxes present that have been restored.",
	famNumRunning:     "Number of sandboxes running at present.",
	famNumTotal:       "Counter of sandboxes that have ever been started.",
	famCapabilities:   "Linux capabilities added within containers of the sandbox.",
	famCheckpointed:   "Boolean metric set to 1 for each checkpointed sandbox.",
	famCPUSaved:       "CPU time saved for each restored sandbox (in milliseconds).",
	famCreation:       "When the sandbox was created, as a unix timestamp in seconds.",
	famFailure:        "Why the metrics of a running sandbox cannot be had, 1 for each that has none.",
	famMetadata:       "Key-value pairs about per-sandbox metadata.",
	famPresence:       "Boolean metric set to 1 for each known sandbox.",
	famRestored:       "Boolean metric set to 1 for each restored sandbox.",
	famRunning:        "Boolean metric set to 1 for each running sandbox.",
	famWallSaved:      "Wall time saved for each restored sandbox (in milliseconds).",
	famSpec:           "Key-value pairs about OCI spec metadata.",
	famStartTime:      "Start time of the process since unix epoch in seconds.",
}

// ownFamilies returns the server's own families, with the samples that the filters of capabilities lets pass. No other filter hides
// any of them.
func (c *Collector) ownFamilies(r Request, now time.Time) []expo.Family {
	b := ownBuilder{prefix: c.options.Prefix, families: make(map[string]*expo.Family, len(ownTexts))}
	var running, broken, checkpointed, restored int
	for _, s := range c.table.sorted {
		f := &s.facts.Root.Sandbox
		cpu, wall := s.saved()
		b.add(famPresence, s.own.plain, 1)
		b.add(famRunning, s.own.plain, number(s.running()))
		b.add(famCheckpointed, s.own.plain, number(f.Checkpointed))
		b.add(famRestored, s.own.plain, number(f.Restored))
		b.add(famCPUSaved, s.own.plain, float64(cpu.Milliseconds()))
		b.add(famWallSaved, s.own.plain, float64(wall.Milliseconds()))
		running += int(number(s.running()))
		broken += int(number(s.running() && !s.answered()))
		checkpointed += int(number(f.Checkpointed))
		restored += int(number(f.Restored))
		switch {
		case s.answered():
			b.describe(s, r)
		case s.running():
			b.add(famFailure, s.labels.Block(expo.Label{Name: "reason", Value: reason(s.failure)}), 1)
		}
	}
	b.add(famServerPresence, "", 1)
	b.add(famNumRunning, "", float64(running))
	b.add(famNumBroken, "", float64(broken))
	b.add(famNumCheckpoint, "", float64(checkpointed))
	b.add(famNumRestored, "", float64(restored))
	b.add(famNumTotal, "", float64(c.table.total))
	b.add(famStartTime, "", seconds(c.options.StartTime))
	return b.list()
}

// describe adds what a sandbox has only while its metrics can be had.
func (b *ownBuilder) describe(s *sandbox, r Request) {
	b.add(famCreation, s.own.plain, seconds(s.facts.Root.CreatedAt))
	b.add(famMetadata, s.own.metadata, 1)
	b.add(famSpec, s.own.spec, 1)
	for _, have := range s.own.capabilities {
		if r.Capabilities == nil || r.Capabilities.MatchString(have.name) || r.Capabilities.MatchString("CAP_"+have.name) {
			b.add(famCapabilities, have.labels, 1)
		}
	}
}

// seconds returns a time as Prometheus counts it. Float64 holds it to a quarter of a microsecond.
func seconds(t time.Time) float64 { return float64(t.Unix()) + float64(t.Nanosecond())/1e9 }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// ownBuilder gathers own samples by family.
type ownBuilder struct {
	prefix   string
	families map[string]*expo.Family
}

func (b *ownBuilder) add(name, labels string, value float64) {
	f := b.families[name]
	if f == nil {
		f = &expo.Family{Name: b.prefix + name, Help: ownTexts[name], Type: schema.Gauge}
		switch name {
		case famNumTotal:
			f.Type = schema.Counter
		case famStartTime:
			f.Name = name
		}
		b.families[name] = f
	}
	f.Own = append(f.Own, expo.Own{Labels: labels, Value: value})
}

func (b *ownBuilder) list() []expo.Family {
	list := make([]expo.Family, 0, len(b.families))
	for _, f := range b.families {
		list = append(list, *f)
	}
	return list
}
