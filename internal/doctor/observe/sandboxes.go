package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const (
	sandboxTimeout = 2 * time.Second // as of a server
	lingerMax      = 10_000
	// fileGrace is longer than a state file has to fail before the collector counts it as unreadable.
	fileGrace = 1100 * time.Millisecond
	// searchTime limits the search for registrations.
	searchTime = 20 * time.Second
	// maxCollections is how often sandboxes are collected that an earlier collection did not reach.
	maxCollections = 3
)

// inspect queries the sandboxes of the roots.
func (n *node) inspect(ctx context.Context) {
	snap, err := n.collect(ctx)
	n.observed.Inotify = n.tryInotify()
	if root, ok := errors.AsType[*collect.RootError](err); ok {
		n.setRootError(n.examinedRoots()[0], root.Err)
		return
	}
	if err != nil {
		n.observed.Failed = err.Error()
	}
	if snap != nil {
		n.take(snap)
	}
}

// examinedRoots returns the paths of the roots that are examined.
func (n *node) examinedRoots() []string {
	var paths []string
	for i := range n.observed.Roots {
		if r := &n.observed.Roots[i]; examined(r) {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

// collect makes a snapshot of the sandboxes with the code of the server, or returns nil if there is
// no root.
func (n *node) collect(ctx context.Context) (*snapshot.Snapshot, error) {
	roots := n.examinedRoots()
	if len(roots) == 0 {
		return nil, nil
	}
	log := &logLines{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}))
	defer func() { n.observed.Log = log.lines() }()
	source, err := n.source(logger)
	if err != nil {
		n.incomplete(err.Error())
	}
	defer source.Close()
	c, err := collect.New(collect.Options{
		Roots:          roots,
		Registrations:  source,
		Linger:         time.Hour,
		LingerMax:      lingerMax,
		Usage:          true,
		HostRoot:       n.collectorRoot(),
		SandboxTimeout: sandboxTimeout,
		Logger:         logger,
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Stop)()
	if err := c.Look(); err != nil {
		return nil, err
	}
	grace := time.NewTimer(fileGrace)
	defer grace.Stop()
	n.progress("Waiting for registrations from runsc")
	searching, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	source.Wait(searching)
	select {
	case <-grace.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return collectAll(ctx, c, n.progress)
}

// collectorRoot returns the root directory for the collector, for which "" is the default.
func (n *node) collectorRoot() string {
	if n.HostRoot == "/" {
		return ""
	}
	return n.HostRoot
}

// collectAll collects again as long as sandboxes were not reached.
func collectAll(ctx context.Context, c *collect.Collector, progress func(string)) (snap *snapshot.Snapshot, err error) {
	for range maxCollections {
		progress("Querying sandboxes")
		if snap, err = c.Collect(collect.Plan{Deadline: time.Now().Add(collect.MaxDuration)}); err != nil || ctx.Err() != nil {
			return snap, errors.Join(err, ctx.Err())
		}
		late := 0
		for i := range snap.Sandboxes {
			if f := snap.Sandboxes[i].Failure; f != nil && f.Reason == failure.OutOfTime {
				late++
			}
		}
		if late == 0 {
			return snap, nil
		}
	}
	return snap, nil
}

// source returns the source of registrations that the server has.
func (n *node) source(logger *slog.Logger) (*registration.Source, error) {
	set, path := n.settings()
	o := registration.Options{Programs: set.Runsc, Root: n.HostRoot, Path: path, Logger: logger}
	var err error
	if set.RegistrationFile != "" {
		if o.Fallback, err = registration.Load(set.RegistrationFile); err != nil {
			err = fmt.Errorf("registration file: %w", err)
		}
	}
	return registration.NewSource(o), err
}

// setRootError takes note of why a root is not readable.
func (n *node) setRootError(path string, err error) {
	for i := range n.observed.Roots {
		if r := &n.observed.Roots[i]; r.Path == path {
			r.Err, r.Denied, r.Missing = err.Error(), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist)
		}
	}
}

// take takes note of a snapshot.
func (n *node) take(snap *snapshot.Snapshot) {
	for _, root := range snap.Roots {
		if root.Err != nil {
			n.setRootError(root.Path, root.Err)
		}
		for i := range n.observed.Roots {
			if r := &n.observed.Roots[i]; r.Path == root.Path {
				for _, file := range root.Unreadable {
					r.Files = append(r.Files, doctor.FileError{Name: file.Name, Err: file.Err.Error()})
				}
			}
		}
	}
	for i := range snap.Sandboxes {
		n.observed.Sandboxes = append(n.observed.Sandboxes, sandboxOf(&snap.Sandboxes[i]))
	}
}

// lookAgain takes note of what has become of the processes of sandboxes. Those that have ended
// since they were queried do not count as running, so that none of them is missed on a server that
// was asked later.
func (n *node) lookAgain() {
	for i := range n.observed.Sandboxes {
		s := &n.observed.Sandboxes[i]
		if !s.Running || s.PID == 0 { // of another PID namespace, or not known
			continue
		}
		if _, err := os.Stat(n.proc(s.PID, "")); errors.Is(err, fs.ErrNotExist) {
			s.Running, s.Status, s.Reason, s.Detail = false, doctor.StatusNotRunning, "", ""
		}
		s.Stopped = n.stopped(s.PID)
	}
}

func sandboxOf(s *snapshot.Sandbox) doctor.Sandbox {
	d := doctor.Sandbox{
		ID:           s.Labels.Sandbox,
		Iteration:    s.Labels.Iteration,
		Root:         s.Root,
		Pod:          s.Labels.Pod,
		Namespace:    s.Labels.Namespace,
		PID:          s.PID,
		CreatedAt:    s.CreatedAt,
		Running:      s.Running(),
		Status:       doctor.StatusOK,
		Version:      s.Release,
		MetricServer: s.MetricServer,
	}
	if s.Usage != nil {
		for _, reason := range s.Usage.Unknown {
			d.UsageAbsent = append(d.UsageAbsent, string(reason))
		}
	}
	switch {
	case !s.Running():
		d.Status = doctor.StatusNotRunning
	case s.Failure != nil:
		d.Status, d.Reason, d.Detail = doctor.StatusFailed, string(s.Failure.Reason), s.Failure.Error()
	}
	return d
}

// maxLog limits the log, in bytes.
const maxLog = 64 << 10

// logLines collects the first lines of a log. It is safe for concurrent use.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds a line.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() < maxLog {
		l.text.Write(p)
	}
	return len(p), nil
}

func (l *logLines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.text.String(), func(r rune) bool { return r == '\n' })
}

// withoutTime leaves out the time of a log line.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
