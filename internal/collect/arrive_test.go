package collect

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/internal/totals"
)

// stalled begins a collection in which one sandbox does not reply, and returns a function that ends
// it. The sandbox has received its query.
func (n *node) stalled() (end func() *snapshot.Snapshot) {
	n.Helper()
	release := make(chan struct{})
	s := n.start(simulate.Spec{ID: "stalls", Behavior: simulate.On(simulate.MethodExport, func(x *simulate.Exchange) error {
		select {
		case <-release:
		case <-n.Context().Done():
		}
		return simulate.Honest(x)
	})})
	done := make(chan *snapshot.Snapshot, 1)
	go func() { done <- n.collect() }()
	testkit.Until(n, "the query is on its way", func() bool { return s.Stats().Queries > 0 })
	return func() *snapshot.Snapshot {
		close(release)
		return <-done
	}
}

// arrive tells the collector of the state file of a sandbox.
func (n *node) arrive(s *simulate.Sandbox) {
	path := s.StatePath(s.ID())
	n.collector.Arrive(filepath.Dir(path), filepath.Base(path), true)
}

// untilSampled waits until the collector has a sample of the sandbox.
func (n *node) untilSampled(id string) {
	n.Helper()
	testkit.Until(n, "it is sampled", func() bool {
		n.collector.mu.Lock()
		defer n.collector.mu.Unlock()
		known := n.life(id)
		return known != nil && known.sampled()
	})
}

// TestArrive: a sandbox is sampled once when its state file appears, while a collection is under way
// that waits for another sandbox. The collection does not have it, because it came later.
func TestArrive(t *testing.T) {
	n := newNode(t, nil)
	end := n.stalled()
	s := n.start(simulate.Spec{ID: "new", OwnProcess: true})
	for range 3 {
		n.arrive(s)
	}
	n.untilSampled("new")
	if snap := end(); len(snap.Sandboxes) != 1 {
		t.Errorf("the collection has %d sandboxes, want the one that was there", len(snap.Sandboxes))
	}
	if queries := s.Stats().Queries; queries != 1 {
		t.Errorf("it received %d queries, want 1", queries)
	}
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="new"} 51`, `runsc_fs_opens{sandbox="stalls"} 51`)
}

// TestShortLife: of a sandbox that lives between two collections, there is the first sample, and its
// outcome.
func TestShortLife(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	n.collect()
	s := n.start(simulate.Spec{ID: "a", OwnProcess: true})
	n.arrive(s)
	n.untilSampled("a")
	s.Remove()
	k.await(t, 1)
	last := k.all()[0]
	if last.End.Outcome != snapshot.Killed || last.End.Signal != 9 || last.End.Metrics != snapshot.FromSample || last.End.Lifetime <= 0 {
		t.Errorf("its end is %+v", last.End)
	}
	if sample, ok := last.Reported.Find(int(last.Reported.Schema.Find([]byte("fs_opens")))); !ok || sample.Value != 51 {
		t.Errorf("its last values are %+v", last.Reported.Samples)
	}
}

// TestVanished: a state file that is created and removed before it can be read is a life, once. One
// that is removed while its process runs ends with that.
func TestVanished(t *testing.T) {
	n, k := newRecordedNode(t, func(o *Options) { o.Registrations = &library{err: errUnknown} })
	n.collector.Arrive(n.root, "early_sandbox:early.state", true) // before the first listing: nobody knows how old it is
	runs := n.start(simulate.Spec{ID: "runs"})
	n.collect()
	n.must(os.Remove(runs.StatePath("runs")))
	n.collect()
	for _, name := range []string{
		"brief_sandbox:brief.state", "brief_sandbox:brief.state",
		"container_sandbox:pod.state", "other.lock", "runsc-x.sock", "..",
		"runs_sandbox:runs.state", // reported late
	} {
		n.collector.Arrive(n.root, name, true)
	}
	n.collector.Arrive(n.root, "written_sandbox:written.state", false) // only a creation tells of a new sandbox
	for _, do := range []func(context.Context, string, string) (snapshot.Registered, error){n.collector.Register, n.collector.Unregister} {
		past, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := do(past, n.root, "asked-for"); !errors.Is(err, snapshot.ErrNoSandbox) {
			t.Errorf("a client that asks for a sandbox that is not there gets %v", err)
		}
	}
	n.collector.Arrive("/elsewhere", "x_sandbox:x.state", true)
	n.collect()
	n.finish(false) // and wait for the one under way
	k.expect(t, "brief vanished none", "runs vanished last_sample")
	n.expectSandboxesOnPage("brief=0", "runs=0")
}

// TestRegisterBesideCollection: registering waits for a state file and not for a collection, and takes
// a sample beside it.
func TestRegisterBesideCollection(t *testing.T) {
	n := newNode(t, nil)
	end := n.stalled()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan snapshot.Registered, 1)
	go func() {
		r, err := n.collector.Register(ctx, n.root, "new")
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	s := n.start(simulate.Spec{ID: "new", OwnProcess: true})
	n.arrive(s)
	if r := <-done; r.Sandbox.Labels.Sandbox != "new" || r.Sandbox.PID != s.PID() {
		t.Errorf("registered is %+v", r.Sandbox)
	}
	if r, err := n.collector.Unregister(ctx, n.root, "new"); err != nil || r.Sandbox.Hidden != snapshot.HidUnregistered {
		t.Errorf("unregistered is %+v, %v", r.Sandbox, err)
	}
	end()
	queries := s.Stats().Queries
	page := n.page()
	n.expect(page, opens, `runsc_fs_opens{sandbox="stalls"} 51`)
	n.expect(page, "sandmeter_unregistrations_total", "sandmeter_unregistrations_total 1")
	if s.Stats().Queries != queries {
		t.Error("an unregistered sandbox is queried")
	}
	if log := n.log.String(); strings.Count(log, "Sandbox unregistered by a client") != 1 {
		t.Errorf("the log is\n%s", log)
	}
	s.Remove()
	n.start(simulate.Spec{ID: "new"})
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="new"} 51`, `runsc_fs_opens{sandbox="stalls"} 51`)
}

// TestOverlap: where two queries of a sandbox overlap, the reply with the earlier values may come
// last. It breaks no rule, and does not replace the later values.
func TestOverlap(t *testing.T) {
	n := newNode(t, nil)
	release := make(chan struct{})
	s := n.start(simulate.Spec{ID: "a", OwnProcess: true, Growth: 1, Points: []simulate.Point{{Metric: "fs_opens", Int: 10}}})
	s.SetBehavior(simulate.Edit(func(x *simulate.Exchange, reply string) string {
		if x.N == 1 {
			select {
			case <-release:
			case <-t.Context().Done():
			}
		}
		return reply
	}))
	done := make(chan *snapshot.Snapshot, 1)
	go func() { done <- n.collect() }()
	testkit.Until(t, "the query of the collection is on its way", func() bool { return s.Stats().Queries == 1 })
	testkit.Retry(t, func() error { // a sample has a short time, which a busy machine may need several of
		r, err := n.collector.Register(t.Context(), n.root, "a")
		if err == nil && !r.Sampled {
			err = errors.New("there is no sample")
		}
		return err
	})
	n.collector.mu.Lock()
	later := n.life("a").baseline
	n.collector.mu.Unlock()
	close(release)
	snap := <-done
	if f := snap.Sandboxes[0].Failure; f != nil {
		t.Fatalf("the sandbox has failed: %v", f)
	}
	if got, want := snap.Sandboxes[0].Reported.Samples, later.Samples; len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the values are %+v, want %+v", got, want)
	}
}

// TestReplyAfterTheEnd: a reply that arrives after the end of a life does not count.
func TestReplyAfterTheEnd(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	n.collect()
	q := &queriesOf(n.life("a")).export
	q.life.end = new(snapshot.End)
	defer func() { q.life.end = nil }()
	if f, whole := q.accept(control.NewReply([]byte("x"))); f != errOver || !whole {
		t.Errorf("it is taken: %v", f)
	}
}

// TestArriveAfterListing: a sandbox that a listing finds before its event is measured at once, so
// that its cgroup can be read at its end, and sampled once when the event comes.
func TestArriveAfterListing(t *testing.T) {
	h := newMeasuredNode(t, nil)
	h.look()
	s := h.start(measured("a"))
	h.look()
	known := h.life("a")
	if known.usage.account.Load() == nil || known.usage.found.Time.IsZero() {
		t.Error("a sandbox that a listing has found is not measured")
	}
	for range 3 {
		h.arrive(s)
	}
	h.untilSampled("a")
	h.arrive(s)
	if queries := s.Stats().Queries; queries != 1 {
		t.Errorf("it received %d queries, want 1", queries)
	}
}

// TestFirstLook: with totals, what is older than the server is sampled by the first look, and counts
// from then on.
func TestFirstLook(t *testing.T) {
	n := newNode(t, func(o *Options) {
		o.Totals = totals.New(totals.Options{Metrics: []string{"fs_opens"}, NoUsage: true})
	})
	s := n.start(simulate.Spec{ID: "a", Growth: 10, Points: []simulate.Point{{Metric: "fs_opens", Int: 100}}})
	n.look()
	n.look()
	if queries := s.Stats().Queries; queries != 1 {
		t.Errorf("the first look and another one have made %d queries, want 1", queries)
	}
	n.expect(n.page(), "sandmeter_sandboxes_fs_opens_total", "sandmeter_sandboxes_fs_opens_total 10")
}

// TestContainerArrives: a container that is created just before the end of its sandbox is in the record.
func TestContainerArrives(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	s := n.start(simulate.Spec{ID: "p", OwnProcess: true})
	n.collect()
	n.update(s, func(spec *simulate.Spec) { spec.More = append(spec.More, simulate.Container{ID: "c"}) })
	n.collector.Arrive(n.root, "c_sandbox:p.state", true)
	s.Stop()
	k.await(t, 1)
	if ended := k.all(); len(ended[0].Containers) != 2 || ended[0].Containers[1].ID != "c" {
		t.Errorf("the containers are %+v", ended[0].Containers)
	}
}
