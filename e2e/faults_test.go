package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// The tests of this file are named after the faults of gVisor's own metric server, by their numbers: each shows, on the real server, that
// it does not have that one.

// Fault 1: overlapping scrapes lose data.
func TestFault01OverlappingScrapesLoseNothing(t *testing.T) {
	p := newPlayed(t)
	var want []string
	for i, s := range p.playFleet(20, simulate.FleetOptions{Points: 8}).Sandboxes {
		want = append(want, s.ID())
		if i == 0 {
			s.SetBehavior(simulate.Late(3 * time.Millisecond)) // time to come while the others have answered already
		}
	}
	p.serve()
	type answer struct {
		data  metricclient.MetricData
		asked time.Time
		err   error
	}
	const scrapers, scrapes = 8, 200
	answers := make(chan answer, scrapers*scrapes)
	var scraping sync.WaitGroup
	for i := range scrapers {
		scraping.Go(func() {
			// Some ask the same, and some do not.
			filter := []string{"", "entry_point"}[min(i%4, 1)]
			for range scrapes {
				asked := time.Now()
				data, err := p.client.GetMetrics(t.Context(), map[string]string{"runsc-sandbox-metrics-filter": filter})
				answers <- answer{data, asked, err}
				if err != nil {
					return
				}
				time.Sleep(time.Duration(i) * 2 * time.Millisecond) // out of step
			}
		})
	}
	scraping.Wait()
	close(answers)
	for a := range answers {
		p.must(a.err)
		got := parsePage(t, a.data)
		for _, metric := range []string{alwaysThere, "runsc_meta_sandbox_metadata"} {
			if ids := got.labels(metric, "sandbox"); !slices.Equal(ids, want) {
				t.Fatalf("sandboxes of %s: %q, want %q", metric, ids, want)
			}
		}
		for _, m := range got.families[alwaysThere].Metric {
			if taken := time.UnixMilli(m.GetTimestampMs()); taken.Before(a.asked.Truncate(time.Millisecond)) {
				t.Fatalf("a value is %v older than the request for it", a.asked.Sub(taken))
			}
		}
	}
}

// Fault 2: one sandbox that stalls holds every scrape for 8 seconds or more, and leaks 2 descriptors a scrape.
func TestFault02StalledSandboxHoldsNobodyAndLeaksNothing(t *testing.T) {
	p := newPlayed(t)
	p.play(simulate.Spec{ID: "good"})
	stalled := map[string]simulate.Spec{
		"silent": {Behavior: simulate.Stall},
		"frozen": {Frozen: true},
		"drips":  {Behavior: simulate.Drip(1, 200*time.Millisecond)},
	}
	for id, spec := range stalled {
		spec.ID = id
		p.play(spec)
	}
	p.serve("--sandbox-timeout", wholeTime.String())
	check := func() (took time.Duration) {
		t.Helper()
		data, took := p.within(10 * time.Second)
		got := parsePage(t, data)
		got.wantFailure(t, "good", "")
		for id := range stalled {
			got.wantFailure(t, id, "stalled") // not "out_of_time": each has its own time, and the scrape goes on after it
		}
		return took
	}
	check()
	open := p.descriptors()
	for range 10 {
		if took := check(); took >= wholeTime { // 50 ms, once they have stalled
			t.Errorf("a scrape took %v", took)
		}
	}
	p.wantDescriptors(open)
}

// Fault 3: a reply with a null where an object belongs ends the process. A reply of 200 MB is taken as healthy and costs 700 MB.
func TestFault03RepliesNeitherEndNorFloodTheServer(t *testing.T) {
	t.Run("null", func(t *testing.T) {
		p := newPlayed(t)
		p.play(simulate.Spec{ID: "good"})
		lying := map[string]liars.Liar{} // by ID
		for _, l := range liars.All() {
			if strings.Contains(l.Name, "null") && slices.Equal(testkit.Reasons(l), []string{"answer_refused"}) {
				id := fmt.Sprint("liar-", len(lying))
				lying[id] = l
				p.liar(l, simulate.Spec{ID: id})
			}
		}
		if len(lying) < 20 {
			t.Fatalf("only %d sandboxes have a null", len(lying))
		}
		p.serve()
		for range 3 {
			got := p.scrape()
			got.wantFailure(t, "good", "")
			for id, l := range lying {
				if got.wantFailure(t, id, "answer_refused"); t.Failed() {
					t.Fatalf("%s is sandbox %s", l.Name, id)
				}
			}
		}
		if p.server.hasEnded() || p.serverPid() != p.server.Process.Pid {
			t.Error("the server is another process now")
		}
	})
	t.Run("200 MB", func(t *testing.T) {
		p := newPlayed(t)
		good := p.play(simulate.Spec{ID: "good"})
		p.serve()
		p.scrape()
		idle := p.memory("VmRSS")
		const size = 200 << 20
		head := `{"success":true,"err":"","result":{"snapshot":{"when":"NOW"`
		floods := map[string]simulate.Behavior{
			"blanks":  simulate.Flood(head, " ", size, "}}}"),
			"unknown": simulate.Flood(head+`,"more":"`, "a", size, `"}}}`),
			"points":  simulate.Flood(head+`,"data":[{}`, ",{}", size, "]}}}"),
		}
		for id, flood := range floods {
			p.play(simulate.Spec{ID: id, Behavior: flood})
		}
		for range 3 {
			got := p.scrape()
			got.wantFailure(t, good.ID(), "")
			got.wantFailure(t, "blanks", "too_long")
			got.wantFailure(t, "unknown", "too_long")
			got.wantValue(t, 3, "runsc_meta_num_sandboxes_broken_metrics")
		}
		if most := p.memory("VmHWM"); most > idle+64<<20 {
			t.Errorf("the server took %d MB, and %d MB before", most>>20, idle>>20)
		}
	})
}

// Fault 4: quotes and newlines in a pod name break the page; a newline forges a metric line.
func TestFault04PodNamesNeitherBreakNorForge(t *testing.T) {
	p := newPlayed(t)
	p.play(simulate.Spec{ID: "good"})
	names := []string{
		`"`, `""`, `\`, `\\`, `a\`, `\n`, `\"`, "\n", "a\nb", "\r\n", "\t", "}", "{a=\"b\"} 1", " ", "\x00", "\x1b[31m", "# TYPE x gauge", "é\u2028\ufffe",
		"web\"} 1\nrunsc_fs_opens{sandbox=\"forged\"} 7 1795338760112\nrunsc_fs_opens{sandbox=\"",
		"\nrunsc_forged_total 7\n# HELP runsc_forged_total x\n",
	}
	want := []string{"good"}
	for i, name := range names {
		id := fmt.Sprintf("pod-%02d", i)
		want = append(want, id)
		p.play(simulate.Spec{ID: id, Pod: name, Namespace: "ns" + name})
	}
	p.serve()
	got := p.scrape()
	for _, family := range []string{alwaysThere, "runsc_fs_opens", "runsc_meta_sandbox_running", "runsc_meta_sandbox_metadata"} {
		if ids := got.labels(family, "sandbox"); !slices.Equal(ids, want) {
			t.Errorf("sandboxes of %s: %q", family, ids)
		}
		for i, name := range names {
			found := got.find(family, "sandbox", want[1+i], "pod_name", name, "namespace_name", "ns"+name)
			if len(found) != 1 {
				t.Errorf("%s of pod %q is there %d times", family, name, len(found))
			}
		}
	}
	for name := range got.families {
		if strings.Contains(name, "forged") {
			t.Errorf("a pod's name made the family %s", name)
		}
	}
	if lines := strings.Count(string(got.raw), "\nrunsc_fs_opens{"); lines != len(want) {
		t.Errorf("%d sandboxes have %d lines of one counter", len(want), lines)
	}
}

// Fault 5: of pre and pre1, pre is never served. A sandbox first seen while a state file is locked stays ignored. Capabilities and spec
// metadata are computed once, so that a container which joins later never counts.
func TestFault05EverySandboxIsServedAsItIsNow(t *testing.T) {
	t.Run("pre and pre1", func(t *testing.T) {
		p := newPlayed(t)
		want := []string{"pre", "pre1", "pre1.a", "pre_"}
		for _, id := range want {
			p.play(simulate.Spec{ID: id})
		}
		p.serve()
		for _, family := range []string{alwaysThere, "runsc_meta_sandbox_presence", "runsc_meta_sandbox_metadata"} {
			if got := p.scrape().labels(family, "sandbox"); !slices.Equal(got, want) {
				t.Errorf("sandboxes of %s: %q, want %q", family, got, want)
			}
		}
	})
	t.Run("locked state file", func(t *testing.T) {
		p := newPlayed(t)
		s := p.play(simulate.Spec{ID: "locked", More: []simulate.Container{{ID: "app"}}})
		p.play(simulate.Spec{ID: "other"})
		for _, container := range []string{"locked", "app"} {
			unlock, err := s.Lock(container) // as runsc does, for seconds
			p.must(err)
			p.serve()
			for range 2 { // the second time when the lock is gone
				got := p.scrape()
				got.wantFailure(t, "locked", "")
				got.wantFailure(t, "other", "")
				unlock()
			}
			p.server.signal(syscall.SIGTERM)
			p.server.wantEnd(patience, 0)
		}
		// Who holds the lock is writing, perhaps.
		whole, err := os.ReadFile(s.StatePath(""))
		p.must(err)
		p.must(s.WriteState("", whole[:len(whole)/2]))
		p.serve()
		p.scrape().wantNone(t, "runsc_meta_sandbox_presence", "sandbox", "locked")
		p.must(s.WriteState("", whole))
		p.scrape().wantFailure(t, "locked", "")
	})
	t.Run("container that joins later", func(t *testing.T) {
		p := newPlayed(t)
		caps := func(names ...string) *simulate.Capabilities { return &simulate.Capabilities{Bounding: names} }
		s := p.play(simulate.Spec{
			ID: "pod", Root: simulate.Container{UID: 1000, OCIVersion: "1.0.0", Capabilities: caps("CAP_KILL")},
			More: []simulate.Container{{ID: "app", UID: 0, OCIVersion: "1.2.1", Capabilities: caps("CAP_CHOWN")}},
		})
		// It joins, and nothing else changes.
		app, err := os.ReadFile(s.StatePath("app"))
		p.must(err)
		p.must(os.Remove(s.StatePath("app")))
		p.serve()
		check := func(uid0, version string, capabilities ...string) {
			t.Helper()
			got := p.scrape()
			got.wantValue(t, 1, "runsc_meta_spec_metadata", "sandbox", "pod", "hasuid0", uid0, "ociversion", version)
			if all := got.labels("runsc_meta_sandbox_capabilities", "capability"); !slices.Equal(all, capabilities) {
				t.Errorf("capabilities are %q, want %q", all, capabilities)
			}
		}
		check("false", "1.0.0", "KILL")
		p.must(os.WriteFile(s.StatePath("app"), app, 0o644))
		check("true", "INCONSISTENT", "CHOWN", "KILL")
		p.must(os.Remove(s.StatePath("app")))
		check("false", "1.0.0", "KILL")
	})
}

// Fault 6: a killed sandbox is running as long as it is a zombie; a removed root is never noticed.
func TestFault06ZombiesDoNotRunAndALostRootIsNoticed(t *testing.T) {
	t.Run("zombie", func(t *testing.T) {
		p := newPlayed(t)
		process := exec.Command("sleep", "300")
		p.must(process.Start())
		end := sync.OnceFunc(func() {
			_ = process.Process.Kill()
			_ = process.Wait()
		})
		t.Cleanup(end)
		p.play(simulate.Spec{ID: "killed", PID: process.Process.Pid})
		p.play(simulate.Spec{ID: "other"})
		check := func(running float64) {
			t.Helper()
			got := p.scrape()
			got.wantValue(t, 1, "runsc_meta_sandbox_presence", "sandbox", "killed")
			got.wantValue(t, running, "runsc_meta_sandbox_running", "sandbox", "killed")
			got.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "other")
			got.wantValue(t, 1+running, "runsc_meta_num_sandboxes_running")
			got.wantValue(t, 0, "runsc_meta_num_sandboxes_broken_metrics")
			if running == 0 {
				got.wantNone(t, alwaysThere, "sandbox", "killed")
			}
		}
		p.serve()
		check(1)
		p.must(process.Process.Kill())
		p.until(func() error {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process.Process.Pid))
			if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
				err = fmt.Errorf("it is no zombie: %s", stat)
			}
			return err
		})
		check(0)
		// One that did not know it before says the same.
		p.setAddr(freePort(t))
		p.serve()
		check(0)
		end()
		check(0)
	})
	t.Run("removed root", func(t *testing.T) {
		p := newPlayed(t)
		s := p.play(simulate.Spec{ID: "sb"})
		p.serve()
		p.scrape().wantFailure(t, "sb", "")
		p.must(s.Remove())
		p.must(os.RemoveAll(p.root))
		p.server.wantEnd(soon, 1) // nobody scrapes
		if said := p.server.err.lastLine(); !strings.Contains(said, "read runtime root "+p.root) {
			t.Errorf("the server's last line is %s", said)
		}
	})
}

// Fault 7: after kill -9 of the server its socket blocks the restart. The socket is open to everybody.
func TestFault07SocketBlocksNoRestartAndIsNotForEverybody(t *testing.T) {
	p := newPlayed(t)
	p.play(simulate.Spec{ID: "sb", MetricServer: p.addr})
	defer syscall.Umask(syscall.Umask(0)) // which would let everybody in
	for name, serve := range map[string]func() *server{
		"serve":         func() *server { return p.serve() },
		"metric-server": p.serveInPlace,
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				s := serve()
				p.scrape().wantFailure(t, "sb", "")
				info, err := os.Lstat(p.addr)
				p.must(err)
				if mode := info.Mode(); mode != os.ModeSocket|0o660 {
					t.Errorf("the socket's mode is %v", mode)
				}
				s.signal(syscall.SIGKILL)
				s.wantEnd(patience, -1)
				if _, err := os.Lstat(p.addr); err != nil {
					t.Errorf("the killed server's socket: %v", err)
				}
			}
		})
	}
}

// Fault 8: its client reports success for a server that died at start (after 20 s), takes an HTTP error page for metric data, ignores the
// context in ShutdownServer, and changes the caller's map.
func TestFault08ClientTellsTheTruthAndKeepsItsHandsOff(t *testing.T) {
	conf := &config.Config{ServerPath: sandmeter}
	t.Run("server that dies at start", func(t *testing.T) {
		for name, args := range map[string][]string{
			"wrong flag":   {"--no-such-flag"},
			"missing root": nil,
		} {
			p := newPlayed(t)
			p.must(os.Remove(p.root))
			err := p.client.SpawnServer(p.ctx(), conf, args...)
			// After all of its time, the error would be that of a deadline.
			if err == nil || !strings.Contains(err.Error(), "exit status") || !strings.Contains(err.Error(), "standard error ends") {
				t.Errorf("%s: %v", name, err)
			}
			if err := p.client.ShutdownServer(p.ctx()); !errors.Is(err, metricclient.ErrNotRunning) {
				t.Errorf("%s: shutting down what did not start: %v", name, err)
			}
		}
	})
	t.Run("error page", func(t *testing.T) {
		p := newPlayed(t)
		p.serve()
		check := func(status string, params map[string]string) {
			t.Helper()
			data, err := p.client.GetMetrics(p.ctx(), params)
			if err == nil || !strings.Contains(err.Error(), status) || data != "" {
				t.Errorf("%q: got %q, %v", params, data, err)
			}
		}
		check("400", map[string]string{"runsc-sandbox-metrics-filter": "("})
		check("404", map[string]string{"": "/no/such/path"})
	})
	t.Run("context of ShutdownServer", func(t *testing.T) {
		p := newPlayed(t)
		p.must(p.client.SpawnServer(p.ctx(), conf))
		pid := p.serverPid()
		p.must(syscall.Kill(pid, syscall.SIGSTOP)) // it cannot end
		goOn := sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- p.client.ShutdownServer(ctx) }()
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("ShutdownServer of a server that cannot end: %v", err)
			}
			goOn()
			p.must(p.client.ShutdownServer(p.ctx()))
		case <-time.After(patience):
			t.Error("ShutdownServer waits longer than its context")
			goOn()
			p.must(<-ended)
		}
	})
	t.Run("caller's maps", func(t *testing.T) {
		p := newPlayed(t)
		p.play(simulate.Spec{ID: "sb", Pod: "web", Namespace: "shop"})
		p.serve()
		params := map[string]string{"": "/metrics?runsc-capability-filter=KILL", "runsc-sandbox-metrics-filter": "entry_point"}
		before := maps.Clone(params)
		data, err := p.client.GetMetrics(p.ctx(), params)
		p.must(err)
		if diff := cmp.Diff(before, params); diff != "" {
			t.Errorf("parameters of GetMetrics (-before +after):\n%s", diff)
		}
		want := metricclient.WantMetric{Metric: alwaysThere, Sandbox: "sb", Pod: "web", Namespace: "shop", ExtraLabels: map[string]string{"entry_point_type": "runsc"}}
		_, _, err = data.GetPrometheusContainerInteger(want)
		p.must(err)
		want.Metric = ""
		_, err = data.GetSandboxMetadataMetric(want) // finds none with that label, and must leave it alone all the same
		if !errors.Is(err, metricclient.ErrNoSample) {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]string{"entry_point_type": "runsc"}, want.ExtraLabels); diff != "" {
			t.Errorf("labels that were asked for (-before +after):\n%s", diff)
		}
	})
}

// Fault 9: samples come in another order at every scrape; tiny floats print as 0; render errors are dropped; two gauges are called counters;
// comment lines carry raw labels.
func TestFault09PagesAreInOrderExactAndWhole(t *testing.T) {
	t.Run("order of samples", func(t *testing.T) {
		p := newPlayed(t)
		p.playFleet(10, simulate.FleetOptions{ShuffleKeys: true, Second: simulate.OtherRegistration()})
		p.serve()
		first := p.scrape().withoutValues()
		for range 5 {
			if diff := cmp.Diff(first, p.scrape().withoutValues()); diff != "" {
				t.Fatalf("two scrapes (-first +later):\n%s", diff)
			}
		}
		var families []string
		for _, line := range first {
			if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
				families = append(families, strings.Fields(rest)[0])
			}
		}
		if !slices.IsSorted(families) {
			t.Errorf("families are not in order: %q", families)
		}
	})
	t.Run("tiny floats", func(t *testing.T) {
		p := newPlayed(t)
		values := map[string]float64{"tiny": 2.5e-9, "tiniest": 5e-324, "huge": 1.7e308}
		for id, ssd := range values {
			registration, points := simulate.WithDistribution()
			points[len(points)-1].Hist.SSD = ssd
			p.play(simulate.Spec{ID: id, Registration: registration, Points: points})
		}
		p.serve()
		got := p.scrape()
		for id, ssd := range values {
			got.wantValue(t, ssd, "runsc_fs_latency_ssd", "sandbox", id)
		}
	})
	// An error of rendering cannot be dropped where there is none: what has no place on a page is left out whole, and all else is there.
	t.Run("what cannot be rendered", func(t *testing.T) {
		p := newPlayed(t)
		metadata := simulate.DefaultMetadata()
		for _, key := range []string{"sandbox", "iteration", "pod_name", "namespace_name", "a-b", "a=\"b", "\n", "9", "__name__", "", "é"} {
			metadata[key] = "forged"
		}
		s := p.play(simulate.Spec{ID: "sb", Pod: "web", Metadata: metadata})
		p.serve()
		response, body := p.get("/metrics")
		if response.StatusCode != http.StatusOK || response.ContentLength != int64(len(body)) || !strings.HasSuffix(body, "\n") {
			t.Errorf("status %s, %d bytes announced, %d sent", response.Status, response.ContentLength, len(body))
		}
		got := parsePage(t, metricclient.MetricData(body))
		found := got.find("runsc_meta_sandbox_metadata")
		if len(found) != 1 {
			t.Fatalf("metadata: %v", found)
		}
		want := simulate.DefaultMetadata()
		want["sandbox"], want["pod_name"] = s.ID(), "web"
		delete(found[0].labels, "iteration")
		if diff := cmp.Diff(want, found[0].labels); diff != "" {
			t.Errorf("labels of the metadata (-want +got):\n%s", diff)
		}
		got.wantFailure(t, "sb", "")
		samples := 0
		for _, family := range got.families {
			if !strings.HasPrefix(family.GetName(), "runsc_meta_") && strings.HasPrefix(family.GetName(), "runsc_") {
				samples += len(family.Metric)
			}
		}
		if samples != len(simulate.Idle())+2 { // and two gauges at zero
			t.Errorf("%d samples of the sandbox are on the page", samples)
		}
	})
	t.Run("gauges that were counters", func(t *testing.T) {
		p := newPlayed(t)
		s := p.play(simulate.Spec{ID: "sb", Restored: true, Checkpointed: true})
		p.serve()
		for want := 1.0; want >= 0; want-- {
			got := p.scrape()
			for _, family := range []string{"runsc_meta_num_sandboxes_checkpointed", "runsc_meta_num_sandboxes_restored"} {
				got.wantValue(t, want, family)
				if kind := got.families[family].GetType().String(); kind != "GAUGE" {
					t.Errorf("%s, which falls, is a %s", family, kind)
				}
			}
			p.must(s.Remove())
		}
	})
	t.Run("comment lines", func(t *testing.T) {
		p := newPlayed(t)
		p.play(simulate.Spec{ID: "sb", Pod: "forged\nforged", Namespace: "forged\"", Metadata: map[string]string{"platform": "forged\n#forged"}})
		p.serve()
		got := p.scrape()
		comment := regexp.MustCompile(`^# (HELP (runsc|process)_[a-z0-9_]+ [^{}]+|TYPE (runsc|process)_[a-z0-9_]+ (counter|gauge))\n$`)
		count := 0
		for line := range strings.Lines(string(got.raw)) {
			if !strings.HasPrefix(line, "#") {
				continue
			}
			count++
			if !comment.MatchString(line) || strings.Contains(line, "forged") {
				t.Errorf("a comment line is %q", line)
			}
		}
		if count != 2*len(got.families) {
			t.Errorf("%d families have %d comment lines", len(got.families), count)
		}
	})
}

// Fault 10: a member external_labels in a reply is rendered unverified: a doubled label cuts the line in the middle, and the error is dropped.
func TestFault10ExternalLabelsAreNotRendered(t *testing.T) {
	p := newPlayed(t)
	p.play(simulate.Spec{ID: "good"})
	const head = `{"metric":{"name":"fs_opens"`
	lies := []string{
		`{"sandbox":"forged","iteration":"1"}`,
		`{"forged":"1"}`,
		`{"forged":"1","forged":"2"}`,
		`{"forged":"\"} 1\nrunsc_fs_opens{sandbox=\"forged\"} 7\n"}`,
		`null`,
	}
	ids := []string{"good"}
	for i, lie := range lies {
		ids = append(ids, fmt.Sprint("liar-", i))
		p.play(simulate.Spec{ID: ids[1+i], Behavior: simulate.Replace(head, `{"external_labels":`+lie+`,`+head[1:])})
	}
	p.serve()
	for range 2 {
		got := p.scrape()
		if strings.Contains(string(got.raw), "forged") {
			t.Errorf("unverified labels are on the page:\n%s", got.raw)
		}
		found := got.find("runsc_fs_opens")
		if len(found) != len(ids) {
			t.Fatalf("one counter of %d sandboxes is there %d times", len(ids), len(found))
		}
		for i, id := range ids {
			if s := found[i]; s.value != 51 || s.labels["sandbox"] != id || len(s.labels) != 2 || s.labels["iteration"] == "" {
				t.Errorf("sandbox %s has %+v", id, s)
			}
			got.wantFailure(t, id, "")
		}
	}
}
