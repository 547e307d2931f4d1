package metricserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Status makes a collection and returns the document that the handler serves at /api/v1/status. The
// OpenAPI description has its fields.
func (h *Handler) Status(ctx context.Context) ([]byte, error) {
	deadline, limited := ctx.Deadline()
	if !limited {
		deadline = time.Now().Add(collect.MaxDuration)
	}
	snap, err := h.collector.Collect(collect.Plan{Deadline: deadline})
	return json.Marshal(h.status(snap, cmp.Or(err, ctx.Err())))
}

// status returns the document. Without a snapshot, err says why there is none.
func (h *Handler) status(snap *snapshot.Snapshot, err error) any {
	s := &api.Status{
		Version:        api.Known(h.options.Version),
		Time:           time.Now(),
		StartedAt:      h.options.StartTime,
		Process:        ownProcess(),
		Listeners:      append([]string{}, h.listeners...),
		Settings:       api.Settings{Given: h.options.Given, Resolved: settingsOf(h.options)},
		Limits:         api.Limits{OpenFiles: openFiles(), RuntimeRoots: roots.MaxRoots, InotifyError: h.watch.exhausted.Load()},
		RuntimeRoots:   []api.RuntimeRoot{},
		Registrations:  api.Registrations{Programs: []string{}, Builds: []api.Build{}},
		UsageSources:   append([]string{}, h.collector.UsageSources()...),
		OutcomeSources: append([]string{}, h.collector.OutcomeSources()...),
		Problems:       h.problems.newest(),
		Sandboxes:      []api.Sandbox{},
	}
	h.describeRegistrations(&s.Registrations)
	if err != nil {
		s.SnapshotError = api.Known(err.Error())
	}
	if snap != nil {
		s.SnapshotTime, s.SnapshotError = &snap.Began, nil
		s.Limits.RuntimeRootsLeftOut = snap.Server.RootsLeftOut
		s.Sandboxes = api.ListOf(snap).Sandboxes
		for i := range snap.Roots {
			s.RuntimeRoots = append(s.RuntimeRoots, rootOf(&snap.Roots[i]))
		}
	}
	return s
}

func rootOf(r *snapshot.Root) api.RuntimeRoot {
	root := api.RuntimeRoot{Path: r.Path, State: api.RootOK, Unreadable: []api.FileError{}}
	if r.Err != nil {
		root.State, root.Error = api.RootUnreadable, api.Known(r.Err.Error())
	}
	switch {
	case r.Hung:
		root.State = api.RootHung
	case errors.Is(r.Err, fs.ErrNotExist):
		root.State = api.RootMissing
	}
	for _, file := range r.Unreadable {
		root.Unreadable = append(root.Unreadable, api.FileError{File: file.Name, Error: file.Err.Error()})
	}
	return root
}

func (h *Handler) describeRegistrations(r *api.Registrations) {
	if h.source == nil {
		return
	}
	programs, err := h.source.Programs()
	r.Programs = append(r.Programs, programs...)
	if err != nil {
		r.Error = api.Known(err.Error())
	}
	for b, err := range h.source.Builds() {
		build := api.Build{Version: b.Release.Version, Program: b.Sentry.Path, Searching: errors.Is(err, registration.ErrSearching)}
		if err != nil {
			build.Error = api.Known(err.Error())
		}
		r.Builds = append(r.Builds, build)
	}
	slices.SortFunc(r.Builds, func(a, b api.Build) int { return strings.Compare(a.Program, b.Program) })
}

func ownProcess() api.Process {
	p := api.Process{PID: os.Getpid(), UID: os.Geteuid()}
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "\nCapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	p.Capabilities = api.Known(strings.TrimSpace(line))
	link, _ := os.Readlink("/proc/self/ns/pid")
	inode, _ := strconv.ParseUint(strings.Trim(link, "pid:[]"), 10, 64)
	p.PIDNamespace = api.Known(inode)
	return p
}

func openFiles() *uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return nil
	}
	return &limit.Cur
}

// settingsOf returns the options that are set by the names of their flags, and how the server differs from serve.
func settingsOf(o *Options) map[string]string {
	set := make(map[string]string)
	for _, s := range o.Settings() {
		if text := strings.Join(s.Texts(), ","); text != "" && text != "false" && text != "0" && text != "0s" {
			set[s.Name] = text
		}
	}
	if o.DropIn {
		set["drop-in"] = "true"
	}
	if o.MatchAddress != "" {
		set["match-address"] = o.MatchAddress
	}
	return set
}
