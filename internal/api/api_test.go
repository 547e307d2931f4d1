package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

var moment = time.Date(2026, 11, 22, 9, 12, 52, 0, time.UTC)

// sandbox returns a running sandbox that was created some seconds after moment.
func sandbox(id, root string, second int) snapshot.Sandbox {
	created := moment.Add(time.Duration(second) * time.Second)
	return snapshot.Sandbox{Phase: snapshot.Running, Query: snapshot.Query{Replied: moment}, Identity: &snapshot.Identity{
		Labels: &snapshot.Labels{Iteration: created.Format("05"), Sandbox: id}, Root: root, CreatedAt: created, PID: 42, Status: "running",
	}}
}

// ended returns a sandbox that has ended.
func ended(id, root string, second int, end snapshot.End) snapshot.Sandbox {
	s := sandbox(id, root, second)
	s.Phase, s.End = snapshot.Ended, &end
	return s
}

// TestEnds: what the document of a sandbox says about its end.
func TestEnds(t *testing.T) {
	f := func(s snapshot.Sandbox, want string) {
		t.Helper()
		text, err := json.Marshal(describe(&s))
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(string(text), `"query_status":`)
		if got != want+"}" {
			t.Errorf("got\n%s\nwant\n%s}", got, want)
		}
	}
	const at = `"2026-11-22T09:12:52Z"`
	const never = `"outcome":null,"exit_code":null,"signal":null,"oom_scope":null,"ended_at":null,"lifetime_seconds":null,` +
		`"metrics_source":null,"metrics_complete":null,"usage_source":null,"usage_complete":null`
	f(sandbox("a", "/r", 0), `"ok","reason":null,"detail":null,"usage_absent":[],"sampled_at":`+at+`,"hidden":null,`+never)

	hidden := sandbox("a", "/r", 0)
	hidden.Hidden = snapshot.HidBySeriesLimit
	f(hidden, `"ok","reason":null,"detail":null,"usage_absent":[],"sampled_at":`+at+`,"hidden":"series_limit",`+never)

	broken := sandbox("a", "/r", 0)
	broken.Failure, broken.Replied = failure.Newf(failure.Stalled, "x"), time.Time{}
	f(broken, `"failed","reason":"stalled","detail":"x","usage_absent":[],"sampled_at":null,"hidden":null,`+never)

	f(ended("a", "/r", 0, snapshot.End{Time: moment, Lifetime: 1500 * time.Millisecond, Outcome: snapshot.Exited, Metrics: snapshot.FromFinalLog, Usage: snapshot.FromHost}),
		`"not_running","reason":null,"detail":null,"usage_absent":[],"sampled_at":`+at+`,"hidden":null,"outcome":"exited","exit_code":0,"signal":null,"oom_scope":null,"ended_at":`+at+
			`,"lifetime_seconds":1.5,"metrics_source":"final_metrics_log","metrics_complete":true,"usage_source":"host","usage_complete":true`)
	f(ended("a", "/r", 0, snapshot.End{Time: moment, Outcome: snapshot.Failed, Code: 137, Metrics: snapshot.FromSample, Usage: snapshot.NoOrigin}),
		`"not_running","reason":null,"detail":null,"usage_absent":[],"sampled_at":`+at+`,"hidden":null,"outcome":"failed","exit_code":137,"signal":null,"oom_scope":null,"ended_at":`+at+
			`,"lifetime_seconds":null,"metrics_source":"last_sample","metrics_complete":false,"usage_source":"none","usage_complete":false`)
	f(ended("a", "/r", 0, snapshot.End{Time: moment, Outcome: snapshot.Killed, Signal: 9, Metrics: snapshot.NoOrigin, Usage: snapshot.FromHost}),
		`"not_running","reason":null,"detail":null,"usage_absent":[],"sampled_at":`+at+`,"hidden":null,"outcome":"killed","exit_code":null,"signal":9,"oom_scope":null,"ended_at":`+at+
			`,"lifetime_seconds":null,"metrics_source":"none","metrics_complete":false,"usage_source":"host","usage_complete":true`)

	// It was unregistered, and runs on.
	unregistered := sandbox("a", "/r", 0)
	unregistered.Hidden = snapshot.HidUnregistered
	unregistered.End = &snapshot.End{Time: moment, Outcome: snapshot.Unregistered, Metrics: snapshot.FromUnregister, Usage: snapshot.FromUnregister}
	f(unregistered, `"ok","reason":null,"detail":null,"usage_absent":[],"sampled_at":`+at+`,"hidden":"unregistered","outcome":"unregistered","exit_code":null,"signal":null,"oom_scope":null,"ended_at":`+at+
		`,"lifetime_seconds":null,"metrics_source":"unregister","metrics_complete":true,"usage_source":"unregister","usage_complete":true`)
}

// lives is a snapshot in which the IDs have several lives and roots.
func lives() *snapshot.Snapshot {
	end := snapshot.End{Outcome: snapshot.Exited}
	return &snapshot.Snapshot{Sandboxes: []snapshot.Sandbox{
		ended("again", "/r", 1, end), sandbox("again", "/r", 2),
		sandbox("behind", "/r", 1), ended("behind", "/r", 2, end), // the clock was set back
		sandbox("both", "/r", 1), ended("both", "/s", 2, end), ended("both", "/s", 3, end),
		ended("over", "/r", 3, end), ended("over", "/r", 2, end),
	}}
}

// TestFind: of several lives of an ID in a root, the one that runs is found, or the newest.
func TestFind(t *testing.T) {
	f := func(of Life, want ...string) {
		t.Helper()
		var got []string
		for _, s := range Find(lives(), of) {
			got = append(got, s.Root+" "+s.Labels.Iteration)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v finds %q, want %q", of, got, want)
		}
	}
	f(Life{ID: "again"}, "/r 54")
	f(Life{ID: "again", Iteration: "53"}, "/r 53")
	f(Life{ID: "again", Iteration: "54"}, "/r 54")
	f(Life{ID: "again", Iteration: "55"})
	f(Life{ID: "behind"}, "/r 53")
	f(Life{ID: "behind", Iteration: "54"}, "/r 54")
	f(Life{ID: "both"}, "/r 53", "/s 55")
	f(Life{ID: "both", Root: "/s"}, "/s 55")
	f(Life{ID: "both", Root: "/s", Iteration: "54"}, "/s 54")
	f(Life{ID: "both", Root: "/x"})
	f(Life{ID: "over"}, "/r 55")
	f(Life{ID: "o"})
}

// TestListHasEachLife: a list has what has ended, too.
func TestListHasEachLife(t *testing.T) {
	if got, want := len(ListOf(lives()).Sandboxes), len(lives().Sandboxes); got != want {
		t.Errorf("the list has %d sandboxes, want %d", got, want)
	}
}

// TestTargets: only what runs and has series has a target, whatever other lives it has.
func TestTargets(t *testing.T) {
	snap := lives()
	for i := range snap.Sandboxes {
		if snap.Sandboxes[i].Labels.Sandbox == "behind" {
			snap.Sandboxes[i].Hidden = snapshot.HidUnregistered
		}
	}
	var got []string
	for _, target := range TargetsOf(snap, "node:19640") {
		got = append(got, target.Labels["instance"])
	}
	if want := []string{"node:19640/again", "node:19640/both"}; !slices.Equal(got, want) {
		t.Errorf("the targets are %q, want %q", got, want)
	}
}

func TestRegisteredDocuments(t *testing.T) {
	f := func(document any, want string) {
		t.Helper()
		if text, err := json.Marshal(document); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
	}
	f(RegisteredOf(snapshot.Registered{Sandbox: sandbox("a", "/r", 0), Sampled: true}), `{"id":"a","iteration":"52","runtime_root":"/r"`)
	f(RegisteredOf(snapshot.Registered{Sandbox: sandbox("a", "/r", 0), Sampled: true}), `,"sampled":true}`)
	f(Refused(failure.Newf(failure.ReplyRefused, "rule")), `{"error":"rule","reason":"reply_refused"}`)
	f(Absent("a", "/r"), `{"error":"runtime root /r has no sandbox \"a\"","reason":null}`)
}
