package state

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestParseCaptures(t *testing.T) {
	metadata := []Pair{
		{"coretags", "false"}, {"cpuarch", "amd64"}, {"experiment", ""}, {"fsmode", "directfs"}, {"go", "go1.26.8"}, {"network", "none"},
		{"numcores", "2"}, {"overlay", "root:self"}, {"platform", "systrap"}, {"version", "VERSION_MISSING"},
	}
	capture := func(id, pod, namespace string, gofer, pid int, created, started string) {
		t.Helper()
		got, err := parse(testkit.Testdata(t, id+".state"), NewShared(""))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			return
		}
		if r := got.facts.Registration; r == nil || len(r.JSON) != 50093 {
			t.Errorf("%s: the registration is not what was recorded", id)
		}
		got.facts.Registration = nil
		want := &Container{
			ID: id, SandboxID: id, CreatedAt: moment(t, created), Status: StatusRunning, GoferPID: gofer,
			Spec: Spec{
				Present: true, OCIVersion: "1.0.0", RunsAsUID0: true, Capabilities: []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"},
				CgroupsPath: "/" + id, Pause: pod != "",
			},
			facts: Sandbox{
				PID: pid, MetricServer: "/run/runsc-metrics.sock", Metadata: metadata, PodName: pod, Namespace: namespace,
				ControlSocket: "/run/runsc/runsc-" + id + ".sock", StartTime: moment(t, started),
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", id, got, want)
		}
	}
	capture("sb-k8s", "nginx-7d8b49557c-abcde", "prod-ns", 16145, 16146, "2026-11-22T09:12:52.799344464Z", "2026-11-22T09:12:52.795706786Z")
	capture("sb-plain", "", "", 16112, 16113, "2026-11-22T09:12:52.743744391Z", "2026-11-22T09:12:52.739706784Z")
	capture("sb-busy", "", "", 16178, 16182, "2026-11-22T09:12:52.839699344Z", "2026-11-22T09:12:52.835706788Z")
}

func TestParse(t *testing.T) {
	accept := func(name, document string, want func(*Container)) {
		t.Helper()
		c := &Container{ID: "a", SandboxID: "b", CreatedAt: moment(t, createdAt)}
		want(c)
		if got, err := parse([]byte(document), NewShared("")); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %v\n%+v, want\n%+v", name, err, got, c)
		}
	}
	const head = `{"id":"a","createdAt":"` + createdAt + `","sandbox":{"id":"b"`
	sandbox := func(fields string) string { return head + "," + fields + "}}" }
	other := func(fields string) string { return head + "}," + fields + "}" }
	spec := func(fields string) string { return other(`"spec":{` + fields + `}`) }

	accept("the least", head+"}}", func(*Container) {})
	accept("unknown fields", other(`"x":[{"id":"y"}],"ID":"z"`), func(*Container) {})
	accept("status", other(`"status":"paused"`), func(c *Container) { c.Status = StatusPaused })
	accept("gofer", other(`"goferPid":7`), func(c *Container) { c.GoferPID = 7 })
	accept("an offset", strings.Replace(head, "09:12:52.799344464Z", "11:42:52.799344464+02:30", 1)+"}}",
		func(c *Container) { c.CreatedAt = moment(t, "2026-11-22T11:42:52.799344464+02:30") })

	accept("pid", sandbox(`"pid":4194304`), func(c *Container) { c.facts.PID = 4194304 })
	accept("server address", sandbox(`"metricServerAddress":"%RUNTIME_ROOT%/m.sock"`), func(c *Container) { c.facts.MetricServer = "%RUNTIME_ROOT%/m.sock" })
	accept("control socket", sandbox(`"controlSocketPath":"/r/c.sock"`), func(c *Container) { c.facts.ControlSocket = "/r/c.sock" })
	accept("pod", sandbox(`"podName":"p","namespace":"n"`), func(c *Container) { c.facts.PodName, c.facts.Namespace = "p", "n" })
	accept("pod of any bytes", sandbox(`"podName":"\u0000\"\n\u001b[1m`+"\xff"+`"`), func(c *Container) { c.facts.PodName = "\x00\"\n\x1b[1m\xff" })
	accept("start", sandbox(`"startTime":"2026-11-22T09:12:52.5Z"`), func(c *Container) { c.facts.StartTime = moment(t, "2026-11-22T09:12:52.5Z") })
	accept("checkpointed", sandbox(`"checkpointed":true,"restored":false`), func(c *Container) { c.facts.Checkpointed = true })
	accept("restored", sandbox(`"restored":true,"cpuTimeSaved":-17800000,"wallTimeSaved":9223372036854775807`), func(c *Container) {
		c.facts.Restored, c.facts.CPUSaved, c.facts.WallSaved = true, -17800*time.Microsecond, 1<<63-1
	})
	accept("metadata", sandbox(`"metricMetadata":{"b":"2","a":"1","c":"","b":"3"}`), func(c *Container) { c.facts.Metadata = []Pair{{"a", "1"}, {"b", "2"}, {"c", ""}} })
	accept("registration", sandbox(`"registeredMetrics": {"metrics": []} `), func(c *Container) { c.facts.Registration = &Registration{JSON: []byte(`{"metrics": []}`)} })
	accept("no registration", sandbox(`"registeredMetrics":null`), func(*Container) {})

	accept("no spec", other(`"spec":null`), func(*Container) {})
	accept("an empty spec", spec(``), func(*Container) {})
	accept("OCI version", spec(`"ociVersion":"1.1.0"`), func(c *Container) { c.Spec = Spec{Present: true, OCIVersion: "1.1.0"} })
	accept("UID 0", spec(`"process":{"user":{"gid":1,"uid":0}}`), func(c *Container) { c.Spec = Spec{Present: true, RunsAsUID0: true} })
	accept("another UID", spec(`"process":{"user":{"uid":1000,"gid":0}}`), func(c *Container) { c.Spec = Spec{Present: true} })
	accept("no process", spec(`"process":null`), func(c *Container) { c.Spec = Spec{Present: true} })
	accept("capabilities", spec(`"process":{"capabilities":{"bounding":["CAP_B","CAP_A"],"effective":["CAP_C","CAP_A"],"inheritable":[],"permitted":null}}`),
		func(c *Container) { c.Spec = Spec{Present: true, Capabilities: []string{"CAP_A", "CAP_B", "CAP_C"}} })
	accept("proxies", spec(`"annotations":{"dev.gvisor.internal.nvproxy":"true","dev.gvisor.internal.tpuproxy":"true"}`),
		func(c *Container) { c.Spec = Spec{Present: true, NVProxy: true, TPUProxy: true} })
	accept("no proxies", spec(`"annotations":{"dev.gvisor.internal.nvproxy":"false","dev.gvisor.internal.tpuproxy":"1","x":"true"}`),
		func(c *Container) { c.Spec = Spec{Present: true} })
	accept("a mount of cgroups", spec(`"mounts":[{"type":"cgroup","destination":"/sys/fs/cgroup","options":["ro"]},{"destination":"/proc","type":"proc"}]`),
		func(c *Container) { c.Spec = Spec{Present: true, CgroupMount: true} })
	accept("other mounts", spec(`"mounts":[{"destination":"/cgroup","type":"bind","source":"cgroup"},{},null]`), func(c *Container) { c.Spec = Spec{Present: true} })
	accept("no mounts", spec(`"mounts":null`), func(c *Container) { c.Spec = Spec{Present: true} })
	accept("cgroup", spec(`"linux":{"cgroupsPath":"a.slice:docker:b"}`), func(c *Container) { c.Spec = Spec{Present: true, CgroupsPath: "a.slice:docker:b"} })
}

func TestParseLimits(t *testing.T) {
	limits := func(resources string, cores float64, bytes int64) {
		t.Helper()
		document := `{"id":"a","createdAt":"` + createdAt + `","spec":{"linux":{"resources":` + resources + `}}}`
		c, err := parse([]byte(document), NewShared(""))
		if err != nil || c.Spec.CPULimit != cores || c.Spec.MemoryLimit != bytes {
			t.Errorf("%s: %+v, %v, want %v cores and %d bytes", resources, c, err, cores, bytes)
		}
	}
	limits(`null`, 0, 0)
	limits(`{"cpu":null,"memory":null,"pids":{"limit":5}}`, 0, 0)
	limits(`{"cpu":{"period":50000,"quota":12500}}`, 0.25, 0)
	limits(`{"cpu":{"quota":50000}}`, 0.5, 0)
	limits(`{"cpu":{"quota":-1,"period":100000}}`, 0, 0)
	limits(`{"cpu":{"quota":null,"period":null}}`, 0, 0)
	limits(`{"memory":{"limit":209715200}}`, 0, 200<<20)
	limits(`{"memory":{"limit":-1}}`, 0, 0)
}

func TestParseRefuses(t *testing.T) {
	refuse := func(name, document, want string) {
		t.Helper()
		if c, err := parse([]byte(document), NewShared("")); err == nil || err.Error() != want || c != nil {
			t.Errorf("%s: %+v, %v, want %s", name, c, err, want)
		}
	}
	with := func(field string) string { return `{"id":"a","createdAt":"` + createdAt + `",` + field + `}` }
	const truncated = "unexpected end of JSON"

	refuse("nothing", "", truncated)
	refuse("null", "null", "missing container ID")
	refuse("no ID", `{"createdAt":"`+createdAt+`"}`, "missing container ID")
	refuse("no creation", `{"id":"a"}`, "missing creation time")
	refuse("a time that is none", `{"createdAt":"yesterday"}`, "invalid RFC 3339 time at byte 24")
	refuse("a negative pid", with(`"sandbox":{"pid":-1}`), "invalid process ID at byte 74")
	refuse("a huge pid", with(`"sandbox":{"pid":4294967296}`), "invalid process ID at byte 82")
	refuse("a sandbox that is a list", with(`"sandbox":[]`), "expected an object at byte 65")
	refuse("a deep document", with(`"x":`+strings.Repeat("[", 1e5)), "nested too deeply at byte 90")
}

// TestParseBeginnings: no proper prefix of a file parses as a whole file.
func TestParseBeginnings(t *testing.T) {
	beginnings := func(whole string, step int) {
		t.Helper()
		for n := 0; n < len(whole); n += step {
			if c, err := parse([]byte(whole[:n]), NewShared("")); !errors.Is(err, jscan.ErrTruncated) {
				t.Errorf("the first %d bytes: %+v, %v", n, c, err)
			}
		}
	}
	whole := string(testkit.Testdata(t, "sb-k8s.state"))
	beginnings(whole, 997)
	beginnings(shortened(t, whole), 1)
}

// shortened returns a state file without most of its registration.
func shortened(tb testing.TB, state string) string {
	before, rest, ok := strings.Cut(state, `},{"name":`)
	end := strings.Index(rest, `}],"stages":`)
	if !ok || end < 0 {
		tb.Fatal("the state file has no registration")
	}
	return before + rest[end:]
}

// TestParseShared: files with equal parts share them, and different parts stay apart.
func TestParseShared(t *testing.T) {
	document := func(metadata, capabilities string) []byte {
		return fmt.Appendf(nil, `{"id":"a","createdAt":%q,"spec":{"process":{"capabilities":%s}},"sandbox":{"id":"a","metricMetadata":%s}}`,
			createdAt, capabilities, metadata)
	}
	known := NewShared("")
	accept := func(metadata, capabilities string) *Container {
		t.Helper()
		want, err := parse(document(metadata, capabilities), NewShared(""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(document(metadata, capabilities), known)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("metadata %s, capabilities %s: %v\n%+v, want\n%+v", metadata, capabilities, err, got, want)
		}
		return got
	}
	refuse := func(metadata, capabilities string) {
		t.Helper()
		if c, err := parse(document(metadata, capabilities), known); err == nil {
			t.Errorf("metadata %s, capabilities %s: %+v", metadata, capabilities, c)
		}
	}
	const metadata, capabilities = `{"a":"1"}`, `{"bounding":["CAP_A"]}`
	first, second := accept(metadata, capabilities), accept(metadata, capabilities)
	if &first.facts.Metadata[0] != &second.facts.Metadata[0] || &first.Spec.Capabilities[0] != &second.Spec.Capabilities[0] {
		t.Error("equal parts are kept twice")
	}
	accept(`{"a":"2"}`, `{"bounding":["CAP_B"]}`)
	accept(`{"a":"1","b":"2"}`, `{"bounding":["CAP_A","CAP_B"]}`)
	accept(` {"a":"1"} `, ` {"bounding":["CAP_A"]} `)
	accept(`null`, `null`)
	refuse(`{"a":1}`, capabilities)
	refuse(metadata, `{"bounding":{}}`)
	accept(metadata, capabilities)
	accept(`null`, `null`)
	refuse(`nullnull`, `null`)
	accept(`null`, `null`)
}

func TestIteration(t *testing.T) {
	iteration := func(id, createdAt, want string) {
		t.Helper()
		if got := Iteration(id, moment(t, createdAt)); got != want {
			t.Errorf("%s of %s: %s, want %s", id, createdAt, got, want)
		}
	}
	iteration("sb-k8s", "2026-11-22T09:12:52.799344464Z", "33sp8vo18t24b")
	iteration("sb-plain", "2026-11-22T09:12:52.743744391Z", "1af6dvkjq949g")
	// The same moment in another time zone gives the same iteration.
	iteration("sb-k8s", "2026-11-22T11:42:52.799344464+02:30", "33sp8vo18t24b")
	// Trailing zeros are not written out: these are of "sb-k8s:2026-11-22 09:12:52.7 +0000 UTC" and
	// "… 09:12:52 +0000 UTC".
	iteration("sb-k8s", "2026-11-22T09:12:52.700000000Z", "3bvvzzi4xm1k0")
	iteration("sb-k8s", "2026-11-22T09:12:52Z", "3in0h58f0fn40")
}

// TestParseName: the names of state files, of which others are no part.
func TestParseName(t *testing.T) {
	for name, want := range map[string]string{
		"a_sandbox:a.state": "a a", "pre_sandbox:pre1.state": "pre pre1", "a.b+c-D_0_sandbox:x.state.state": "a.b+c-D_0 x.state",
		"_sandbox_sandbox:_sandbox.state": "_sandbox _sandbox",
	} {
		if c, s := ContainerOf(name); c+" "+s != want {
			t.Errorf("%q: %q, %q", name, c, s)
		}
	}
	for _, name := range []string{
		"", ".state", "a.state", "_sandbox:.state", "a_sandbox:.state", "_sandbox:a.state", "a_sandbox:a.lock", "a_sandbox:a.state~",
		"a_sandbox:a.STATE", "a_sandbox:a_sandbox:a.state", "a_sandbox:a:b.state", "a b_sandbox:a.state", "a_sandbox:a\n.state", "é_sandbox:é.state",
	} {
		if c, s := ContainerOf(name); c+s != "" {
			t.Errorf("%q is taken for container %q of sandbox %q", name, c, s)
		}
	}
	for id, want := range map[string]string{"a": "a_sandbox:a.state", "": "", "../a": "", "a:b": "", "a b": ""} {
		if got := FileName(id); got != want {
			t.Errorf("FileName(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestIntern(t *testing.T) {
	const metricA, metricB, metricC = `{"name":"/a","sync":true}`, `{"name":"/b"}`, `{"name":"/c","fields":[{"field_name":"f"}]}`
	list := func(metrics ...string) string {
		return `{"metrics":[` + strings.Join(metrics, ",") + `],"stages":["restore"]}`
	}
	// Each case is a registration after others, and the index of the one that it equals.
	intern := func(name string, equal int, texts ...string) {
		t.Helper()
		var regs registrations
		var all []*Registration
		for i, text := range texts {
			s := jscan.New([]byte("[" + text + ",true]"))
			s.Array()
			s.More()
			all = append(all, regs.intern(&s))
			if !s.More() || !s.Bool() || s.More() || s.End() != nil {
				t.Errorf("%s: what is behind registration %d is not read well: %v", name, i, s.End())
			}
		}
		got := -1
		for i, r := range all[:len(all)-1] {
			if r == all[len(all)-1] {
				got = i
				break
			}
		}
		if got != equal {
			t.Errorf("%s: equal to %d, want %d", name, got, equal)
		}
	}
	const none = -1
	intern("another order", 0, list(metricA, metricB, metricC), list(metricC, metricA, metricB))
	intern("white space between metrics", 0, list(metricA, metricB), list(metricB+" ", "\n"+metricA))
	intern("no metrics", 0, list(), list())
	intern("fewer", none, list(metricA, metricB), list(metricA))
	intern("more", none, list(metricA), list(metricA, metricB))
	intern("one of them another", none, list(metricA, metricB), list(metricA, metricC))
	intern("the same name, another text", none, list(metricA), list(strings.Replace(metricA, "true", "false", 1)))
	intern("twice", none, list(metricA, metricB), list(metricA, metricA))
	intern("twice is not once", none, list(metricA, metricA, metricB), list(metricA, metricB, metricB))
	intern("other stages", none, list(metricA), strings.Replace(list(metricA), "restore", "start", 1))
	intern("another head", none, list(metricA), `{"x":1,`+list(metricA)[1:])
	intern("two lists", none, list(metricA), `{"metrics":[],`+list(metricA)[1:])
	intern("the first of some", 0, list(metricA), list(), list(metricB), list(metricC), list(metricA))
	// Values that are not a registration are refused when they are compiled, not here.
	intern("numbers", none, `1`, `12`)

	var regs registrations
	for i := range 2 * maxKnown {
		s := jscan.New(fmt.Appendf(nil, `{"metrics":[{"name":"/%d"}]}`, i))
		regs.intern(&s)
	}
	if len(regs) != maxKnown {
		t.Errorf("%d registrations are known", len(regs))
	}
}

// TestInternCaptures: the files have the metrics in different orders.
func TestInternCaptures(t *testing.T) {
	known := NewShared("")
	var all [3]*Registration
	for i, name := range []string{"sb-k8s.state", "sb-plain.state", "sb-busy.state"} {
		c, err := parse(testkit.Testdata(t, name), known)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = c.facts.Registration
	}
	if all[0] != all[1] || all[0] != all[2] {
		t.Error("sandboxes of one runsc release have different registrations")
	}
}
