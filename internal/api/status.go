package api

import "time"

// A Status is the document with which a server describes itself: to operators, to the command
// doctor, and for support. It has paths and names, and no secrets.
type Status struct {
	Version       *string       `json:"version"` // of the program
	Time          time.Time     `json:"time"`
	StartedAt     time.Time     `json:"started_at"`
	Process       Process       `json:"process"`
	Listeners     []string      `json:"listeners"` // addresses; empty if the server is embedded
	Settings      Settings      `json:"settings"`
	Limits        Limits        `json:"limits"`
	RuntimeRoots  []RuntimeRoot `json:"runtime_roots"`
	Registrations Registrations `json:"registrations"`
	UsageSources  []string      `json:"usage_sources"` // mounts of cgroup hierarchies
	// OutcomeSources are the ways in which the server learns how sandboxes end: pidfd, exit_events and
	// zombie. With the last alone most outcomes are unknown.
	OutcomeSources []string   `json:"outcome_sources"`
	Problems       []Problem  `json:"problems"`      // the newest warnings and errors of the log, oldest first
	SnapshotTime   *time.Time `json:"snapshot_time"` // null: there is no snapshot, and SnapshotError has the reason
	SnapshotError  *string    `json:"snapshot_error"`
	Sandboxes      []Sandbox  `json:"sandboxes"`
}

// A Process is the process of a server.
type Process struct {
	PID          int     `json:"pid"`           // in its own PID namespace
	UID          int     `json:"uid"`           // effective
	Capabilities *string `json:"capabilities"`  // effective, hexadecimal
	PIDNamespace *uint64 `json:"pid_namespace"` // inode
}

// Settings are the settings of a server by the names of its flags. Settings that are not set are missing.
type Settings struct {
	Given    map[string]string `json:"given"`    // on the command line and in the environment; null: the server is embedded
	Resolved map[string]string `json:"resolved"` // with all defaults, and drop-in and match-address
}

// Limits are the limits of a server, and what has reached them.
type Limits struct {
	OpenFiles           *uint64 `json:"open_files"`
	RuntimeRoots        int     `json:"runtime_roots"`
	RuntimeRootsLeftOut int     `json:"runtime_roots_left_out"`
	// InotifyError is the reason why the server cannot watch all runtime roots.
	InotifyError *string `json:"inotify_error"`
}

// A RuntimeRoot is a runtime root with its state: ok, missing, unreadable, or hung.
type RuntimeRoot struct {
	Path       string      `json:"path"`
	State      string      `json:"state"`
	Error      *string     `json:"error"`
	Unreadable []FileError `json:"unreadable"` // state files
}

// States of runtime roots.
const (
	RootOK         = "ok"
	RootMissing    = "missing"
	RootUnreadable = "unreadable"
	RootHung       = "hung"
)

// A FileError is a state file that cannot be read.
type FileError struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// Registrations are the sources of registrations for sandboxes that were created without one.
type Registrations struct {
	Programs []string `json:"programs"` // of runsc, which the server may run
	Error    *string  `json:"error"`    // about configurations that name further programs
	Builds   []Build  `json:"builds"`   // of runsc, of which the server has looked for a registration
}

// A Build is a build of runsc.
type Build struct {
	Version   string  `json:"version"`
	Program   string  `json:"program"` // path of the sandbox's kernel; may be empty
	Searching bool    `json:"searching"`
	Error     *string `json:"error"` // null: the registration is known
}

// A Problem is a warning or an error in the log of a server.
type Problem struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
	Details string    `json:"details"` // as name=value
}
