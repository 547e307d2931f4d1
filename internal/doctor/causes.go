package doctor

import (
	"slices"
	"strings"
)

// A Cause is a kind of finding. Its name is stable: scripts and docs/doctor.md refer to it.
type Cause struct {
	Name   string
	Level  Level
	change string // what to do, unless the finding has something better
}

// The causes, in the order of their findings. Texts of findings are in judge.go.
var (
	noServer          = Cause{"no_server", Warning, "start one with sandmeter serve, or give the address of a server with --address"}
	serverUnreachable = Cause{"server_unreachable", Problem, "look into the log of the server, and restart it"}
	serverAccess      = Cause{"server_access", Warning, "give the server with --address, and its TLS settings and credentials with --web.client-config.file"}
	noStatus          = Cause{"server_without_status", Warning, "replace the server with this version of Sandmeter"}
	noSnapshot        = Cause{"collection_failed", Problem, "look into the log of the server"}
	notServed         = Cause{"sandbox_not_served", Problem, "change which sandboxes the server selects, or run sandmeter serve beside it"}
	sandboxFailed     = Cause{"sandbox_failed", Problem, "see this reason in docs/operating.md, section \"A sandbox has no metrics\""}
	sandboxStopped    = Cause{"sandbox_stopped", Problem, "continue the process with kill -CONT, or detach the debugger"}
	sandboxOrphaned   = Cause{"sandbox_orphaned", Warning, "end the process if nothing uses the sandbox any more: runsc and the container runtime cannot"}
	sandboxHidden     = Cause{"sandbox_hidden", Warning, "raise --max-sandboxes-with-series, or find the client that unregistered the sandbox"}
	usageAbsent       = Cause{"usage_absent", Warning, "see this reason in docs/metrics.md, section \"Why a figure is absent\""}
	stateFile         = Cause{"state_file_unreadable", Problem, "run the server as root; delete a container with a damaged file with runsc --root ROOT delete --force"}
	rootUnreadable    = Cause{"root_unreadable", Problem, "correct the path, run as root, or repair the file system"}
	rootNotExamined   = Cause{"root_not_examined", Warning, "give it with --root if you trust everyone who can write it"}
	tooManyRoots      = Cause{"too_many_roots", Problem, "run a second server for some of the runtime roots"}
	noRegistrations   = Cause{"no_registration_source", Warning, "name runsc with --runsc, or save the output of runsc metric-metadata and give the file to --runsc"}
	missingCapability = Cause{"missing_capability", Warning, "run as root, or add the capability"}
	otherPIDNamespace = Cause{"other_pid_namespace", Problem, "run in the host's PID namespace: hostPID: true in Kubernetes, --pid=host in Docker"}
	lowFileLimit      = Cause{"low_file_limit", Warning, "raise the limit: LimitNOFILE= in the unit, or ulimit -n in the shell"}
	inotifyExhausted  = Cause{"inotify_exhausted", Warning, "raise the limit with sysctl -w, and in a file of /etc/sysctl.d"}
	unknownOutcomes   = Cause{"outcomes_unknown", Warning, "start the server with CAP_NET_ADMIN in the host's network namespace, or upgrade to Linux 6.15 or newer; see docs/known-issues.md"}
	incomplete        = Cause{"incomplete", Warning, "run this command as root on the node, and again if it ran out of time"}
)

// findings collects findings, and unites those that differ only in the sandboxes and places.
type findings struct {
	all    []Finding
	byText map[string]int
	kinds  map[string]int // findings by their beginning
}

// maxReasons limits the findings of a kind with separate texts. The others share one, so that a node
// with a thousand different errors has a short list.
const maxReasons = 5

// add adds a finding about a place or a sandbox; either may be empty. An empty change means the
// change of the cause.
func (f *findings) add(c Cause, what, why, change, place, sandbox string) {
	if f.byText == nil {
		f.byText, f.kinds = make(map[string]int), make(map[string]int)
	}
	if change == "" {
		change = c.change
	}
	kind := c.Name + "\n" + what
	text := strings.Join([]string{kind, why, change}, "\n")
	if _, known := f.byText[text]; !known && f.kinds[kind] >= maxReasons {
		text, why, change = kind, "other reasons: --json has each", c.change
	}
	i, known := f.byText[text]
	if !known {
		i = len(f.all)
		f.byText[text] = i
		f.kinds[kind]++
		f.all = append(f.all, Finding{c.Name, c.Level, what, []string{}, []string{}, why, change})
	}
	found := &f.all[i]
	if place != "" && !slices.Contains(found.Where, place) {
		found.Where = append(found.Where, place)
	}
	if sandbox != "" {
		found.Sandboxes = append(found.Sandboxes, sandbox)
	}
}
