package collect

import (
	"regexp"
	"time"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// An ownFamily is one of the server's own families.
type ownFamily int

// The server's own families.
const (
	famServerPresence ownFamily = iota
	famNumBroken
	famNumCheckpointed
	famNumRestored
	famNumRunning
	famNumTotal
	famCapabilities
	famCheckpointed
	famCPUSaved
	famCreation
	famFailure
	famLeftOut
	famUnreadable
	famMetadata
	famPresence
	famRestored
	famRunning
	famWallSaved
	famSpec
	famStartTime
	ownFamilies
)

// ownTexts are the names, behind the exporter's prefix, and the HELP texts.
var ownTexts = [ownFamilies]struct{ name, help string }{
	famServerPresence:  {"meta_metric_server_presence", "Boolean metric always set to 1 for the metric server process."},
	famNumBroken:       {"meta_num_sandboxes_broken_metrics", "Number of sandboxes from which we cannot export metrics."},
	famNumCheckpointed: {"meta_num_sandboxes_checkpointed", "Number of sandboxes present that have been checkpointed."},
	famNumRestored:     {"meta_num_sandboxes_restored", "Number of sandboxes present that have been restored."},
	famNumRunning:      {"meta_num_sandboxes_running", "Number of sandboxes running at present."},
	famNumTotal:        {"meta_num_sandboxes_total", "Counter of sandboxes that have ever been started."},
	famCapabilities:    {"meta_sandbox_capabilities", "Linux capabilities added within containers of the sandbox."},
	famCheckpointed:    {"meta_sandbox_checkpointed", "Boolean metric set to 1 for each checkpointed sandbox."},
	famCPUSaved:        {"meta_sandbox_cpu_time_saved_milliseconds", "CPU time saved for each restored sandbox (in milliseconds)."},
	famCreation:        {"meta_sandbox_creation_time_seconds", "When the sandbox was created, as a unix timestamp in seconds."},
	famFailure:         {"meta_sandbox_failure", "Why the metrics of a running sandbox cannot be had, 1 for each that has none."},
	famLeftOut:         {"meta_num_series_left_out", "Number of series left out because other sandboxes registered their metrics with another type."},
	famUnreadable:      {"meta_num_state_files_unreadable", "Number of state files that cannot be read. What sandboxes they are of is not known."},
	famMetadata:        {"meta_sandbox_metadata", "Key-value pairs about per-sandbox metadata."},
	famPresence:        {"meta_sandbox_presence", "Boolean metric set to 1 for each known sandbox."},
	famRestored:        {"meta_sandbox_restored", "Boolean metric set to 1 for each restored sandbox."},
	famRunning:         {"meta_sandbox_running", "Boolean metric set to 1 for each running sandbox."},
	famWallSaved:       {"meta_sandbox_wall_time_saved_milliseconds", "Wall time saved for each restored sandbox (in milliseconds)."},
	famSpec:            {"meta_spec_metadata", "Key-value pairs about OCI spec metadata."},
	famStartTime:       {"process_start_time_seconds", "Start time of the process since unix epoch in seconds."}, // without a prefix
}

// own are the server's own families with their samples of one scrape. Their memory is used again at the next.
type own [ownFamilies]expo.Family

func newOwn(prefix string) *own {
	o := new(own)
	for i := range o {
		o[i] = expo.Family{Name: prefix + ownTexts[i].name, Help: ownTexts[i].help, Type: schema.Gauge}
	}
	o[famStartTime].Name = ownTexts[famStartTime].name
	o[famNumTotal].Type = schema.Counter
	return o
}

func (o *own) add(f ownFamily, labels string, value float64) {
	o[f].Own = append(o[f].Own, expo.Own{Labels: labels, Value: value})
}

// collect gathers the samples of all sandboxes, with the capabilities that the filter lets pass. No other filter hides any of them.
func (o *own) collect(t *table, capabilities *regexp.Regexp) {
	for i := range o {
		o[i].Own = o[i].Own[:0]
	}
	var running, broken, checkpointed, restored float64
	for _, s := range t.sorted {
		o.addSandbox(s, capabilities)
		f := &s.facts.Root.Sandbox
		running += number(s.running())
		broken += number(s.running() && !s.answered())
		checkpointed += number(f.Checkpointed)
		restored += number(f.Restored)
	}
	o.add(famServerPresence, "", 1)
	o.add(famNumRunning, "", running)
	o.add(famNumBroken, "", broken)
	o.add(famNumCheckpointed, "", checkpointed)
	o.add(famNumRestored, "", restored)
	o.add(famNumTotal, "", float64(t.total))
	if t.unreadable > 0 {
		o.add(famUnreadable, "", float64(t.unreadable))
	}
	o.add(famStartTime, "", seconds(t.options.StartTime))
}

func (o *own) addSandbox(s *sandbox, capabilities *regexp.Regexp) {
	f := &s.facts.Root.Sandbox
	cpu, wall := s.saved()
	o.add(famPresence, s.own.plain, 1)
	o.add(famRunning, s.own.plain, number(s.running()))
	o.add(famCheckpointed, s.own.plain, number(f.Checkpointed))
	o.add(famRestored, s.own.plain, number(f.Restored))
	o.add(famCPUSaved, s.own.plain, float64(cpu.Milliseconds()))
	o.add(famWallSaved, s.own.plain, float64(wall.Milliseconds()))
	switch {
	case s.answered():
		o.describe(s, capabilities)
	case s.running():
		o.add(famFailure, s.labels.Block(expo.Label{Name: "reason", Value: reason(s.failure)}), 1)
	}
}

// describe adds what a sandbox has only while its metrics can be had.
func (o *own) describe(s *sandbox, capabilities *regexp.Regexp) {
	o.add(famCreation, s.own.plain, seconds(s.facts.Root.CreatedAt))
	o.add(famMetadata, s.own.metadata, 1)
	o.add(famSpec, s.own.spec, 1)
	for _, have := range s.own.capabilities {
		if capabilities == nil || capabilities.MatchString(have.name) || capabilities.MatchString("CAP_"+have.name) {
			o.add(famCapabilities, have.labels, 1)
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
