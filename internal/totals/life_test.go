package totals

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// registration has a counter, one with a field, a time, and a gauge.
const registration = `{"metrics":[
	{"name":"/fs/opens","prometheus_name":"fs_opens","description":"","cumulative":true},
	{"name":"/fs/read_wait","prometheus_name":"fs_read_wait","description":"","cumulative":true,"units":1},
	{"name":"/fs/size","prometheus_name":"fs_size","description":""},
	{"name":"/weirdness","prometheus_name":"weirdness","description":"","cumulative":true,"fields":[{"field_name":"kind","allowed_values":["a","b","c"]}]}
]}`

func compile(t testing.TB, registration string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile([]byte(registration))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// absent is a value that was not measured.
const absent = -1

// measured returns a sandbox with CPU time in nanoseconds, OOM kills, and bytes that the interface
// eth0 received and sent.
func measured(cpu, kills, received, sent int64) *snapshot.Sandbox {
	u := new(snapshot.Usage)
	if cpu != absent {
		u.Set(fact.CPU, cpu)
	}
	if kills != absent {
		u.Set(fact.OOMKills, kills)
	}
	if received != absent || sent != absent {
		u.Interfaces = []fact.Interface{{Name: "eth0", Counters: traffic(max(0, received), max(0, sent))}}
	}
	return &snapshot.Sandbox{Usage: u}
}

// traffic returns the counters of an interface with these bytes.
func traffic(received, sent int64) [fact.InterfaceCounters]int64 {
	return [fact.InterfaceCounters]int64{fact.ReceiveBytes: received, fact.TransmitBytes: sent}
}

// interfaces returns a sandbox whose interfaces received so many bytes.
func interfaces(received map[string]int64) *snapshot.Sandbox {
	u := new(snapshot.Usage)
	for name, value := range received {
		u.Interfaces = append(u.Interfaces, fact.Interface{Name: name, Counters: traffic(value, 0)})
	}
	return &snapshot.Sandbox{Usage: u}
}

// reported returns a sandbox that reports the values of series of a metric. Series that are 0 are
// not sent.
func reported(s *schema.Schema, name string, values ...int64) *snapshot.Sandbox {
	metric := s.Find([]byte(name))
	source := snapshot.Source{Labels: new(snapshot.Labels), Schema: s}
	for i, value := range values {
		if value != 0 {
			source.Samples = append(source.Samples, snapshot.Sample{Metric: int32(metric), Series: s.Metrics[metric].First + uint32(i), Value: value})
		}
	}
	return &snapshot.Sandbox{Reported: source}
}

// silent is a sandbox of which nothing is known.
func silent() *snapshot.Sandbox { return new(snapshot.Sandbox) }

// value returns the value of the only series of a family, in the unit of the schema; with an
// outcome, that of its series. It is absent if there is none.
func value(t testing.TB, l *Ledger, family string, labels ...snapshot.Label) int64 {
	t.Helper()
	src := sourceOf(l)
	for _, s := range src.Samples {
		m := src.Metric(s)
		if m.Name != family {
			continue
		}
		if !m.Open || slices.Equal(src.Sets[s.Series].Pairs, labels) {
			return s.Value
		}
	}
	return absent
}

// TestLives: what the values of a life, observation by observation, add to the totals.
func TestLives(t *testing.T) {
	s := compile(t, registration)
	kinds := map[string]func(int64) *snapshot.Sandbox{
		"cpu_seconds_total":            func(v int64) *snapshot.Sandbox { return measured(v, absent, absent, absent) },
		"oom_kills_total":              func(v int64) *snapshot.Sandbox { return measured(absent, v, absent, absent) },
		"network_receive_bytes_total":  func(v int64) *snapshot.Sandbox { return measured(absent, absent, v, absent) },
		"network_transmit_bytes_total": func(v int64) *snapshot.Sandbox { return measured(absent, absent, absent, v) },
		"fs_opens_total":               func(v int64) *snapshot.Sandbox { return reported(s, "fs_opens", v) },
		"weirdness_total":              func(v int64) *snapshot.Sandbox { return reported(s, "weirdness", 0, v) },
		"fs_read_wait_seconds_total":   func(v int64) *snapshot.Sandbox { return reported(s, "fs_read_wait", v) },
	}
	check := func(want int64, older bool, values ...int64) {
		t.Helper()
		for kind, sandbox := range kinds {
			l := New(Options{Metrics: []string{"fs_opens", "weirdness", "fs_read_wait"}})
			life := l.Begin("", older)
			for _, v := range values {
				if v == absent {
					life.Observe(silent())
				} else {
					life.Observe(sandbox(v))
				}
			}
			if got := value(t, l, "sandmeter_sandboxes_"+kind); got != want {
				t.Errorf("%s: %v, older %t, add %d, want %d", kind, values, older, got, want)
			}
		}
	}
	const newer, older = false, true
	check(7, newer, 7)
	check(7, newer, 7, 7, 7)
	check(9, newer, 3, 4, 9)
	check(0, newer, 0, 0)

	// A value that is absent keeps its base.
	check(9, newer, absent, absent, 9)
	check(9, newer, 3, absent, 9)
	check(3, newer, 3, absent, absent)

	// A value that falls began again at 0.
	check(7+2, newer, 7, 2)
	check(7+2+1, newer, 7, 2, absent, 3)
	check(7+0+5, newer, 7, 0, 5)
	check(7+2, newer, 7, absent, 2)

	// The first value of an older sandbox is a base, whenever it comes.
	check(0, older, 7)
	check(3, older, 7, 10)
	check(10, older, 0, 10)
	check(3, older, absent, absent, 7, absent, 10)
	check(2, older, 7, 2)
	check(2+3, older, 7, 2, 5)
}

// TestTotalsOfLives: totals are over all lives, stay when these end, and keep an ID's lives apart.
func TestTotalsOfLives(t *testing.T) {
	l := New(Options{})
	check := func(want int64) {
		t.Helper()
		if got := value(t, l, "sandmeter_sandboxes_cpu_seconds_total"); got != want {
			t.Errorf("CPU time is %d, want %d", got, want)
		}
	}
	first, second := l.Begin("", false), l.Begin("", false)
	first.Observe(measured(5, 0, 0, 0))
	second.Observe(measured(3, 0, 0, 0))
	check(8)
	first.End(measured(6, 0, 0, 0))
	check(9)
	first.Observe(measured(100, 0, 0, 0)) // it has ended
	first.End(measured(100, 0, 0, 0))
	check(9)
	again := l.Begin("", false) // the ID is used again
	again.Observe(measured(1, 0, 0, 0))
	second.Observe(measured(4, 0, 0, 0))
	check(11)
}

// TestRestart: a new server adds only the growth that it observes, and counts no sandbox as started again.
func TestRestart(t *testing.T) {
	after := New(Options{})
	life := after.Begin("", true)
	life.Observe(silent()) // the first query failed
	life.Observe(measured(7, 0, 0, 0))
	life.End(measured(10, 0, 0, 0))
	for family, want := range map[string]int64{"cpu_seconds_total": 3, "started_total": 0} {
		if got := value(t, after, "sandmeter_sandboxes_"+family); got != want {
			t.Errorf("after: %s is %d, want %d", family, got, want)
		}
	}
	if got := value(t, after, "sandmeter_sandboxes_ended_total", snapshot.Label{Name: "outcome", Value: "unknown"}); got != 1 {
		t.Errorf("after: %d ended", got)
	}
}

// TestInterfaces: each interface counts by itself.
func TestInterfaces(t *testing.T) {
	type reading = map[string]int64
	check := func(want int64, older bool, readings ...reading) {
		t.Helper()
		l := New(Options{})
		life := l.Begin("", older)
		for _, r := range readings {
			life.Observe(interfaces(r))
		}
		if got := value(t, l, "sandmeter_sandboxes_network_receive_bytes_total"); got != want {
			t.Errorf("%v, older %t, add %d, want %d", readings, older, got, want)
		}
	}
	const newer, older = false, true
	check(5, newer, reading{"a": 2, "b": 3})
	check(9, newer, reading{"a": 2, "b": 3}, reading{"a": 2, "b": 7})
	check(5+4, newer, reading{"a": 2, "b": 3}, reading{"b": 7})                        // a goes away
	check(5+4+1, newer, reading{"a": 2, "b": 3}, reading{"b": 7}, reading{"a": 3})     // and comes back
	check(100+1, newer, reading{"a": 100}, reading{"a": 1})                            // another interface of that name
	check(2+3, newer, reading{"a": 2}, reading{"a": 2, "b": 3})                        // a new one
	check(0, older, reading{"a": 2, "b": 3})                                           // all are bases
	check(3, older, reading{}, reading{"a": 2}, reading{"a": 2, "b": 3})               // a is a base, and b is new
	check(1, older, reading{"a": 2, "b": 3}, reading{"a": 2}, reading{"a": 2, "b": 4}) // b was away

	many := reading{}
	for i := range 2 * maxInterfaces {
		many[string(rune('a'+i))] = 1
	}
	check(maxInterfaces, newer, many, many)
}

// TestUnits: the first registration with a counter tells its unit. Others are not mixed into the
// same total.
func TestUnits(t *testing.T) {
	ns := compile(t, registration)
	plain := compile(t, `{"metrics":[{"name":"/w","prometheus_name":"fs_read_wait","description":"","cumulative":true}]}`)
	gauge := compile(t, `{"metrics":[{"name":"/w","prometheus_name":"fs_read_wait","description":""}]}`)
	check := func(family string, want int64, sandboxes ...*snapshot.Sandbox) {
		t.Helper()
		l := New(Options{Metrics: []string{"fs_read_wait"}})
		for _, s := range sandboxes {
			l.Begin("", false).Observe(s)
		}
		if got := value(t, l, "sandmeter_sandboxes_"+family); got != want {
			t.Errorf("%s is %d, want %d", family, got, want)
		}
	}
	check("fs_read_wait_total", 0)
	check("fs_read_wait_seconds_total", absent)
	check("fs_read_wait_seconds_total", 7, reported(ns, "fs_read_wait", 7))
	check("fs_read_wait_total", absent, reported(ns, "fs_read_wait", 7))
	check("fs_read_wait_total", 3, reported(plain, "fs_read_wait", 3), reported(ns, "fs_read_wait", 7))
	check("fs_read_wait_seconds_total", 7, reported(ns, "fs_read_wait", 7), reported(plain, "fs_read_wait", 3))
	check("fs_read_wait_seconds_total", 7, reported(gauge, "fs_read_wait", 5), reported(ns, "fs_read_wait", 7))
	check("fs_read_wait_total", 0, reported(gauge, "fs_read_wait", 5))
}

// TestTotalsDoNotOverflow: a sandbox may report any number.
func TestTotalsDoNotOverflow(t *testing.T) {
	s := compile(t, registration)
	l := New(Options{Metrics: []string{"weirdness"}})
	for range 2 {
		l.Begin("", false).Observe(reported(s, "weirdness", math.MaxInt64, math.MaxInt64, math.MinInt64))
		if got := value(t, l, "sandmeter_sandboxes_weirdness_total"); got != math.MaxInt64 {
			t.Errorf("the total is %d", got)
		}
	}
}

// TestEnds: what is known of an end is counted once.
func TestEnds(t *testing.T) {
	l := New(Options{})
	ended := func(cpu int64, end *snapshot.End) *snapshot.Sandbox {
		s := measured(cpu, absent, absent, absent)
		s.End = end
		return s
	}
	life := l.Begin("", false)
	last := ended(int64(50*time.Millisecond), &snapshot.End{Outcome: snapshot.OOMKilled, Lifetime: 3 * time.Second, MemoryPeak: 16 << 20})
	life.End(last)
	life.End(last)
	l.Begin("", true).End(ended(int64(20*time.Hour), &snapshot.End{Outcome: snapshot.OOMKilled, Lifetime: 100 * time.Hour, MemoryPeak: 1 << 40}))
	l.Begin("", false).End(ended(absent, &snapshot.End{Outcome: "a later outcome"}))
	l.Begin("", false).End(silent())

	for _, outcome := range snapshot.Outcomes {
		want := map[snapshot.Outcome]int64{snapshot.OOMKilled: 2, snapshot.Unknown: 2}[outcome]
		if got := value(t, l, "sandmeter_sandboxes_ended_total", snapshot.Label{Name: "outcome", Value: string(outcome)}); got != want {
			t.Errorf("%d are %s, want %d", got, outcome, want)
		}
	}
	if got := value(t, l, "sandmeter_sandboxes_started_total"); got != 3 {
		t.Errorf("%d started", got)
	}
	check := func(family string, total int64, buckets ...int) {
		t.Helper()
		src := sourceOf(l)
		h := &src.Histograms[value(t, l, "sandmeter_sandboxes_"+family)]
		want := make([]uint64, len(h.Counts))
		for _, bucket := range buckets {
			want[(bucket+len(want))%len(want)]++
		}
		if !slices.Equal(h.Counts, want) || h.Total.Int != total {
			t.Errorf("%s has %v, %d, want %v, %d", family, h.Counts, h.Total.Int, want, total)
		}
	}
	check("lifetime_seconds", int64(100*time.Hour+3*time.Second), 5, -1)
	check("lifetime_cpu_seconds", int64(20*time.Hour+50*time.Millisecond), 1, -1)
	check("lifetime_memory_peak_bytes", 1<<40+16<<20, 0, -1)
}
