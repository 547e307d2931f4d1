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

// A state file that is incomplete when it is first seen is read again, up to tries times in all,
// with pauses of retryPause: there is no earlier version to serve.
const (
	tries      = 3
	retryPause = 2 * time.Millisecond
)

// A FileError says why a state file could not be read or parsed. Listings go on to have the last
// version that could be read, if there is one.
type FileError struct {
	Name string // of the file
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("state file %q: %v", e.Name, e.Err) }

// Unwrap returns e.Err.
func (e *FileError) Unwrap() error { return e.Err }

// A Listing is the content of a root at one moment.
type Listing struct {
	Sandboxes []*Sandbox   // sorted by ID; shared with later listings and not to be changed
	Errors    []*FileError // sorted by name; for this listing only
}

// A Root is a runtime root directory, which has one state file per container. It caches the content
// of files, and reads a file again when it has changed. It is not safe for concurrent use.
type Root struct {
	path    string
	dir     Dir // as of the last List or Refresh
	files   map[string]*file
	shared  *Shared
	round   uint
	again   []*file // files to retry in this listing: perhaps incomplete, with no earlier version
	stale   bool    // files have changed since listing was made
	listing []*Sandbox
	used    map[*Registration]bool // those in listing
	buffers *buffers               // of the call under way
	pause   func()                 // before a retry; replaced in tests

	// Progress is called after each file of a listing. Nil: no call.
	Progress func()
}

// file is a state file and its last readable content.
type file struct {
	name      string
	container string // ID, from the name
	sandbox   string // ID, from the name
	stamp     stamp
	current   bool       // content and err belong to stamp, and the stamp is settled
	content   *Container // nil: never read successfully
	err       error      // error of the last attempt
	round     uint       // the last listing that had the file
}

// NewRoot returns the runtime root at path, which need not exist yet. It shares nothing with others.
func NewRoot(path string) *Root { return NewShared("").NewRoot(path) }

// NewRoot returns the runtime root at path, which need not exist yet. Close it when it is no longer
// needed, so that others do not keep its registrations.
func (s *Shared) NewRoot(path string) *Root {
	return &Root{
		path:   path,
		files:  make(map[string]*file),
		shared: s,
		pause:  func() { time.Sleep(retryPause) },
		round:  1, // 0 is for files that are gone
	}
}

// begin opens the directory, and takes buffers. The caller calls done in the end.
func (r *Root) begin() (fd int, done func(), err error) {
	fd, err = r.open()
	if err != nil {
		return fd, nil, err
	}
	r.buffers = r.shared.buffers.Get().(*buffers)
	return fd, func() {
		unix.Close(fd)
		r.shared.buffers.Put(r.buffers)
		r.buffers = nil
	}, nil
}

// Close forgets the content of the root. Its listings stay valid.
func (r *Root) Close() {
	clear(r.files)
	r.regroup()
}

// Path returns the path of the directory.
func (r *Root) Path() string { return r.path }

// Check returns the error with which List would fail to read the directory, or nil.
func (r *Root) Check() error {
	fd, done, err := r.begin()
	if err != nil {
		return err
	}
	defer done()
	_, err = unix.Getdents(fd, r.buffers.names)
	return r.wrap(err)
}

// List returns the current content of the root. An error means that the directory itself could not
// be read. If it does not exist, errors.Is(err, fs.ErrNotExist) is true.
func (r *Root) List() (Listing, error) {
	fd, done, err := r.begin()
	if err != nil {
		return Listing{}, err
	}
	defer done()
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

// Refresh reads one state file, if it may have changed, and returns the sandbox whose root container
// it is about; nil: there is none. All other files are as of the last List or Refresh. It takes one
// attempt: a file that is being written is an error, like one that is not readable. If the file does
// not exist, errors.Is(err, fs.ErrNotExist) is true.
func (r *Root) Refresh(name string) (*Sandbox, error) {
	fd, done, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	f := r.fileNamed([]byte(name))
	if f == nil {
		return nil, nil
	}
	r.refresh(fd, f)
	r.again = r.again[:0]
	if f.round == 0 {
		delete(r.files, name)
		r.stale = r.stale || f.content != nil
		f.err = unix.ENOENT
	}
	if r.stale {
		r.regroup()
	}
	if f.err != nil {
		return nil, &FileError{name, f.err}
	}
	i, found := slices.BinarySearchFunc(r.listing, f.container, func(s *Sandbox, id string) int { return strings.Compare(s.ID, id) })
	if !found {
		return nil, nil
	}
	return r.listing[i], nil
}

func (r *Root) open() (int, error) {
	fd, err := unix.Open(r.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fd, r.wrap(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, r.wrap(err)
	}
	r.dir = Dir{st.Dev, st.Ino}
	return fd, nil
}

func (r *Root) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "read runtime root", Path: r.path, Err: err}
}

// readDir walks the directory and reads the files that have changed.
func (r *Root) readDir(fd int) error {
	for {
		n, err := unix.Getdents(fd, r.buffers.names)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for entries := r.buffers.names[:n]; len(entries) > 0; {
			var name []byte
			name, entries = nextEntry(entries)
			if f := r.fileNamed(name); f != nil {
				r.refresh(fd, f)
			}
			if r.Progress != nil {
				r.Progress()
			}
		}
	}
}

// fileNamed returns the record of a state file, or nil if the name is not that of a state file.
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
	if f.content == nil && f.err == nil {
		r.read(dir, f) // first time: there is no stamp to compare with
		return
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(dir, f.name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == unix.ENOENT:
		f.round = 0 // removed since the directory was read
	case err != nil:
		f.current, f.err = false, err
	case !f.current || f.stamp != stampOf(&st):
		r.read(dir, f)
	}
}

// read reads the file. If that fails, the last readable content stays.
func (r *Root) read(dir int, f *file) {
	now := time.Now() // before reading: later changes have later times
	data, stamp, err := readFile(dir, f.name, r.buffers.content)
	r.buffers.content = data
	whole := err == nil
	if whole {
		err = r.take(f, data)
	}
	f.stamp, f.current, f.err = stamp, whole && stamp.settled(now), err
	switch {
	case err == unix.ENOENT:
		f.round = 0
	case f.content == nil && (err == errChanging || whole && err != nil):
		r.again = append(r.again, f)
	}
}

// take parses the content of a whole file.
func (r *Root) take(f *file, data []byte) error {
	r.shared.mu.Lock()
	c, err := parse(data, r.shared)
	r.shared.mu.Unlock()
	if err != nil {
		return err
	}
	if c.ID != f.container || c.SandboxID != f.sandbox {
		return fmt.Errorf("the content is for container %q of sandbox %q", c.ID, c.SandboxID)
	}
	c.facts.Dir = r.dir
	f.content = c
	r.stale = true
	return nil
}

// readAgain retries incomplete new files after a pause, in which runsc can finish writing them.
// There is one pause for all files.
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

// dropVanished drops the files that are no longer in the directory.
func (r *Root) dropVanished() {
	for name, f := range r.files {
		if f.round != r.round {
			delete(r.files, name)
			r.stale = true
		}
	}
}

// regroup makes a new listing and drops registrations that are no longer in use.
func (r *Root) regroup() {
	containers := make([]*Container, 0, len(r.files))
	used := make(map[*Registration]bool)
	for _, f := range r.files {
		if f.content != nil {
			containers = append(containers, f.content)
			used[f.content.facts.Registration] = true
		}
	}
	r.shared.mu.Lock()
	r.shared.registrations.use(used, r.used)
	r.shared.mu.Unlock()
	r.used = used
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
