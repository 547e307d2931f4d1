package state

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tries and retryPause are for state files that are being written when they are first seen: there is no earlier version to serve.
const (
	tries      = 3
	retryPause = 2 * time.Millisecond
)

// A FileError says why a state file could not be read or understood. The sandbox keeps what an earlier version of the file said.
type FileError struct {
	Name string // of the file, in the root
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("state file %q: %v", e.Name, e.Err) }

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// A Listing is what a root held at one moment.
type Listing struct {
	Sandboxes []*Sandbox   // sorted by ID; shared with later listings and not to be changed
	Errors    []*FileError // sorted by name; of this listing alone
}

// A Root is a runtime root directory: one state file a container. It remembers what it read, and reads a file again when it changed.
// It is not safe for concurrent use.
type Root struct {
	path    string
	files   map[string]*file
	shared  *shared
	names   []byte // for directory entries
	content []byte // for state files
	round   uint
	again   []*file // of this listing: perhaps half written when they were read, with no earlier version to serve
	stale   bool    // listing is not what files say
	listing []*Sandbox
	pause   func() // before again is read again
}

// file is a state file and what it said when it could last be read.
type file struct {
	name      string
	container string // ID, from the name
	sandbox   string // ID, from the name
	stamp     stamp
	current   bool       // said and err are what there is to say of a file with that stamp, and the stamp is old enough to be trusted
	said      *Container // nil: never read with success
	err       error      // of the last attempt
	round     uint       // of the last listing that had it
}

// NewRoot returns the runtime root at path, which need not exist yet.
func NewRoot(path string) *Root {
	return &Root{
		path:   path,
		files:  make(map[string]*file),
		shared: newShared(),
		names:  make([]byte, 32<<10),
		pause:  func() { time.Sleep(retryPause) },
	}
}

// Path is the path of the directory.
func (r *Root) Path() string { return r.path }

// Check reports whether the root is there and can be listed.
func (r *Root) Check() error {
	fd, err := r.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Getdents(fd, r.names)
	return r.wrap(err)
}

// List says what the root holds now. An error means that the directory itself could not be read; errors.Is(err, fs.ErrNotExist) that
// it is not there.
func (r *Root) List() (Listing, error) {
	fd, err := r.open()
	if err != nil {
		return Listing{}, err
	}
	defer unix.Close(fd)
	r.round++
	r.again = r.again[:0]
	if err := r.readDir(fd); err != nil {
		return Listing{}, r.wrap(err)
	}
	r.readAgain(fd)
	r.dropVanished()
	if r.stale {
		r.regroup()
	}
	return Listing{Sandboxes: r.listing, Errors: r.errors()}, nil
}

func (r *Root) open() (int, error) {
	fd, err := unix.Open(r.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, r.wrap(err)
}

func (r *Root) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "read runtime root", Path: r.path, Err: err}
}

// readDir walks the directory and takes in what changed.
func (r *Root) readDir(fd int) error {
	for {
		n, err := unix.Getdents(fd, r.names)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for entries := r.names[:n]; len(entries) > 0; {
			var name []byte
			name, entries = nextEntry(entries)
			if f := r.fileNamed(name); f != nil {
				r.refresh(fd, f)
			}
		}
	}
}

// fileNamed returns the record of a state file, or nil for a name that is none.
func (r *Root) fileNamed(name []byte) *file {
	if !bytes.HasSuffix(name, []byte(fileSuffix)) {
		return nil
	}
	if f := r.files[string(name)]; f != nil {
		return f
	}
	container, sandbox, ok := parseName(string(name))
	if !ok {
		return nil
	}
	f := &file{name: string(name), container: container, sandbox: sandbox}
	r.files[f.name] = f
	return f
}

// refresh reads the file if it may have changed.
func (r *Root) refresh(dir int, f *file) {
	f.round = r.round
	if f.said == nil && f.err == nil {
		r.read(dir, f) // for the first time: there is nothing to compare its times with
		return
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(dir, f.name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == unix.ENOENT:
		f.round = 0 // gone since it was listed
	case err != nil:
		f.current, f.err = false, err
	case !f.current || f.stamp != stampOf(&st):
		r.read(dir, f)
	}
}

// read takes in what the file says now. What was last known goes on being true until the file can be read again.
func (r *Root) read(dir int, f *file) {
	now := time.Now() // before reading: what is written from here on has later times
	data, stamp, err := readFile(dir, f.name, r.content)
	r.content = data
	whole := err == nil
	if whole {
		err = r.take(f, data)
	}
	f.stamp, f.current, f.err = stamp, whole && stamp.settled(now), err
	switch {
	case err == unix.ENOENT:
		f.round = 0
	case f.said == nil && (err == errChanging || whole && err != nil):
		r.again = append(r.again, f)
	}
}

// take makes the bytes of a whole file what is known of it.
func (r *Root) take(f *file, data []byte) error {
	c, err := parse(data, r.shared)
	if err != nil {
		return err
	}
	if c.ID != f.container || c.SandboxID != f.sandbox {
		return fmt.Errorf("the content is for container %q of sandbox %q", c.ID, c.SandboxID)
	}
	f.said = c
	r.stale = true
	return nil
}

// readAgain gives those who are writing new files a moment to finish: one pause for all of them, however many there are.
func (r *Root) readAgain(dir int) {
	for try := 1; try < tries && len(r.again) > 0; try++ {
		r.pause()
		files := r.again
		r.again = nil
		for _, f := range files {
			r.read(dir, f)
		}
	}
}

// dropVanished forgets the files that the last walk did not see.
func (r *Root) dropVanished() {
	for name, f := range r.files {
		if f.round != r.round {
			delete(r.files, name)
			r.stale = true
		}
	}
}

// regroup makes the listing anew and forgets registrations that nobody has any more.
func (r *Root) regroup() {
	containers := make([]*Container, 0, len(r.files))
	used := make(map[*Registration]bool)
	for _, f := range r.files {
		if f.said != nil {
			containers = append(containers, f.said)
			used[f.said.facts.Registration] = true
		}
	}
	r.shared.registrations.keepOnly(used)
	r.listing = group(containers, r.listing)
	r.stale = false
}

func (r *Root) errors() []*FileError {
	var errs []*FileError
	for _, f := range r.files {
		if f.err != nil {
			errs = append(errs, &FileError{f.name, f.err})
		}
	}
	slices.SortFunc(errs, func(a, b *FileError) int { return strings.Compare(a.Name, b.Name) })
	return errs
}
