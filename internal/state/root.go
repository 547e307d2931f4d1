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

// A state file that is incomplete when it is first seen is read up to tries times, with pauses of
// retryPause, unless its last change is old: there is no earlier version to serve.
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
	stale   bool // files have changed since listing was made
	listing []*Sandbox
	buffers *buffers // of the call under way
	pause   func()   // before a retry; replaced in tests

	// Progress is called after each file of a listing. Nil: no call.
	Progress func()
}

// file is a state file and its last readable content.
type file struct {
	name      string
	container string // ID, from the name
	sandbox   string // ID, from the name
	stamp     Stamp
	current   bool       // content and err belong to stamp, and the stamp is settled
	partial   bool       // it has never been read, and perhaps its writer has not finished
	content   *Container // nil: never read successfully
	err       error      // error of the last attempt
	round     uint       // the last listing that had the file
}

// NewRoot returns the runtime root at path, which need not exist yet. It shares nothing with others.
func NewRoot(path string) *Root { return NewShared("").NewRoot(path) }

// NewRoot returns the runtime root at path, which need not exist yet.
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
	fd, r.dir, err = openDir(r.path)
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

// Path returns the path of the directory.
func (r *Root) Path() string { return r.path }

// List returns the current content of the root. An error means that the directory itself could not
// be read. If it does not exist, errors.Is(err, fs.ErrNotExist) is true.
func (r *Root) List() (Listing, error) {
	fd, done, err := r.begin()
	if err != nil {
		return Listing{}, err
	}
	defer done()
	r.round++
	if err := r.readDir(fd); err != nil {
		return Listing{}, wrap(r.path, err)
	}
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

// openDir opens a directory. The error has its path.
func openDir(path string) (fd int, dir Dir, err error) {
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fd, Dir{}, wrap(path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, Dir{}, wrap(path, err)
	}
	return fd, Dir{st.Dev, st.Ino}, nil
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "read runtime root", Path: path, Err: err}
}

// readDir walks the directory and reads the files that have changed.
func (r *Root) readDir(fd int) error {
	return eachEntry(fd, r.buffers.names, func(name []byte) bool {
		if f := r.fileNamed(name); f != nil {
			r.refresh(fd, f)
			for try := 1; try < tries && f.partial; try++ {
				r.pause()
				r.read(fd, f)
			}
		}
		if r.Progress != nil {
			r.Progress()
		}
		return true
	})
}

// fileNamed returns the record of a state file, or nil if the name is not that of a state file.
func (r *Root) fileNamed(name []byte) *file {
	if !bytes.HasSuffix(name, []byte(fileSuffix)) {
		return nil
	}
	if f := r.files[string(name)]; f != nil {
		return f
	}
	container, sandbox := ContainerOf(string(name))
	if container == "" {
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
	case !f.current || f.stamp != StampOf(&st):
		r.read(dir, f)
	}
}

// read reads the file. If that fails, the last readable content stays.
func (r *Root) read(dir int, f *file) {
	now := time.Now() // before reading: later changes have later times
	data, stamp, err := readFile(dir, f.name, r.buffers.content)
	r.buffers.content = data
	whole, settled := err == nil, stamp.Settled(now)
	if whole {
		err = r.take(f, data)
	}
	f.stamp, f.current, f.err = stamp, whole && settled, err
	f.partial = f.content == nil && (err == errChanging || whole && !settled)
	if err == unix.ENOENT {
		f.round = 0
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

// dropVanished drops the files that are no longer in the directory.
func (r *Root) dropVanished() {
	for name, f := range r.files {
		if f.round != r.round {
			delete(r.files, name)
			r.stale = true
		}
	}
}

// regroup makes a new listing.
func (r *Root) regroup() {
	containers := make([]*Container, 0, len(r.files))
	for _, f := range r.files {
		if f.content != nil {
			containers = append(containers, f.content)
		}
	}
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
