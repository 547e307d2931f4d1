package simulate

import (
	"bytes"
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"text/template"

	"golang.org/x/sys/unix"
)

//go:embed state.tmpl
var stateText string

// stateFile has the format of a state file, with fields in the order of runsc, which writes it without
// white space.
var stateFile = template.Must(template.New("state").
	Funcs(template.FuncMap{"json": func(v any) string { return string(mustJSON(v)) }}).
	Parse(regexp.MustCompile(`\n\s*`).ReplaceAllString(stateText, "")))

// encodeState returns the state file of one container. Spec and container have their defaults.
func encodeState(root string, spec *Spec, c Container, registration []byte) ([]byte, error) {
	var b bytes.Buffer
	err := stateFile.Execute(&b, struct {
		Container
		Sandbox                   *Spec
		Registration, RuntimeRoot string
	}{c, spec, string(registration), root})
	if err != nil || spec.EditState == nil {
		return b.Bytes(), err
	}
	return spec.EditState(c.ID, b.Bytes()), nil
}

// StatePath returns the path of the state file of a container of the sandbox; "" is the root
// container.
func (s *Sandbox) StatePath(containerID string) string {
	setDefault(&containerID, s.id)
	return filepath.Join(s.root, containerID+"_sandbox:"+s.id+".state")
}

// LockPath returns the path of the lock file beside it.
func (s *Sandbox) LockPath(containerID string) string {
	path := s.StatePath(containerID)
	return path[:len(path)-len("state")] + "lock"
}

// WriteState writes any bytes to the state file of a container, in place as runsc does: the file is
// truncated, then written. The next Update overwrites it.
func (s *Sandbox) WriteState(containerID string, state []byte) error {
	return os.WriteFile(s.StatePath(containerID), state, 0o640)
}

// Lock takes the exclusive lock of a container's state file, and waits for it. runsc holds it
// during create, start and restore. Update does not wait for it.
func (s *Sandbox) Lock(containerID string) (unlock func(), err error) {
	f, err := os.OpenFile(s.LockPath(containerID), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Update changes the spec, rewrites the state files, and removes those of containers that are gone.
// Only files change: the socket and the replies stay the same.
func (s *Sandbox) Update(change func(*Spec)) error {
	s.files.Lock()
	defer s.files.Unlock()
	before := s.spec.containerIDs()
	change(&s.spec)
	s.spec.ID = s.id
	if err := s.writeStates(); err != nil {
		return err
	}
	after := s.spec.containerIDs()
	for id := range before {
		if !after[id] {
			if err := s.removeState(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeStates writes the state and lock files of all containers. The caller holds s.files, unless
// the sandbox is still being started.
func (s *Sandbox) writeStates() error {
	spec := s.spec.withDefaults(s.root)
	registration := []byte("null")
	if !spec.Uninstrumented {
		registration = s.schema.registration(spec.Order)
	}
	for _, c := range append([]Container{spec.Root}, spec.More...) {
		c = c.withDefaults(&spec)
		state, err := encodeState(s.root, &spec, c, registration)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.LockPath(c.ID), nil, 0o640); err != nil {
			return err
		}
		if err := s.WriteState(c.ID, state); err != nil {
			return err
		}
	}
	return nil
}

// RemoveState removes the state and lock files of a container; "" is the root container. The next
// Update writes them again.
func (s *Sandbox) RemoveState(containerID string) error {
	s.files.Lock()
	defer s.files.Unlock()
	return s.removeState(containerID)
}

func (s *Sandbox) removeState(containerID string) error {
	for _, path := range []string{s.StatePath(containerID), s.LockPath(containerID)} {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func (spec *Spec) containerIDs() map[string]bool {
	ids := map[string]bool{spec.ID: true}
	for _, c := range spec.More {
		ids[c.ID] = true
	}
	return ids
}
