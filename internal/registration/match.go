package registration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sandmeter/sandmeter/internal/state"
)

// ask returns what the program of a build registers, or the fallback.
func (s *Source) ask(ctx context.Context, b Build) (*state.Registration, error) {
	paths, findErr := s.paths()
	p, matchErr := s.match(ctx, paths, b)
	if p == nil {
		return s.fallback(notFound(paths, errors.Join(findErr, matchErr)))
	}
	defer p.close()
	r, err := p.registration(ctx)
	if err != nil {
		return s.fallback(fmt.Errorf("no metrics registered, and runsc fails: %w", err))
	}
	s.options.Logger.Info("Registration read from runsc", "program", p.path)
	return r, nil
}

// fallback returns the fallback or, if there is none, the error that makes it necessary.
func (s *Source) fallback(err error) (*state.Registration, error) {
	if s.options.Fallback == nil {
		return nil, err
	}
	s.options.Logger.Info("Registration read from the file", "because", err)
	return s.options.Fallback, nil
}

func (s *Source) paths() ([]string, error) {
	if len(s.options.Programs) > 0 {
		return s.options.Programs, nil
	}
	return find(s.options.Root, s.options.Path)
}

// match returns the program of a build, or nil. That is the file that the sandbox's process runs.
// Where there is no such program, the release decides if the process's file is not readable, or if
// the programs were named, since a named one may be a copy. The caller closes the program. The
// error is about programs that could not be compared.
func (s *Source) match(ctx context.Context, paths []string, b Build) (found *program, err error) {
	var errs []error
	for _, isSame := range []func(*program) (bool, error){
		func(p *program) (bool, error) { return p.id == b.Exe, nil },
		func(p *program) (bool, error) { return s.hasRelease(ctx, p, b) },
	} {
		for _, path := range paths {
			p, err := open(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			same, err := isSame(p)
			if same {
				return p, nil
			}
			errs = append(errs, err)
			p.close()
		}
	}
	return nil, errors.Join(errs...)
}

// hasRelease reports whether a program of the release of the build may be taken for its program,
// and is of that release. It runs no program that may be something else than runsc.
func (s *Source) hasRelease(ctx context.Context, p *program, b Build) (bool, error) {
	named := len(s.options.Programs) > 0
	guessed := b.Exe == File{} && strings.HasPrefix(filepath.Base(p.path), programName)
	if b.Release == (Release{}) || !named && !guessed {
		return false, nil
	}
	r, err := p.release(ctx)
	return err == nil && r == b.Release, err
}

// notFound returns the error of a search without a result.
func notFound(paths []string, err error) error {
	where := "there is no runsc in the configurations of Docker and containerd, and in PATH"
	if len(paths) > 0 {
		where = "the runsc that started it is none of " + strings.Join(paths, ", ")
	}
	if err != nil {
		where += " (" + strings.Join(uniq(strings.Split(err.Error(), "\n")), "; ") + ")"
	}
	return fmt.Errorf("no metrics registered, and %s; name it with --runsc, or save the output of `runsc metric-metadata` for --registration", where)
}
