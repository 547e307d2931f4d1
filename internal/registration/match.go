package registration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

// ask returns what the program of a build registers, or the fallback.
func (s *Source) ask(ctx context.Context, b Build) (*state.Registration, error) {
	paths, findErr := s.paths()
	p, isOf, matchErr := s.match(ctx, paths, b)
	if p == nil {
		return s.fallback(notFound(paths, errors.Join(findErr, matchErr)))
	}
	defer p.close()
	r, err := p.registration(ctx)
	if errors.Is(err, errNoMetrics) && isOf && b.Separate() {
		err = fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	if err != nil {
		return s.fallback(fmt.Errorf("no metrics registered, and runsc fails: %w", err))
	}
	r.Printed = isOf
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

// match returns the program of a build, or nil, and whether it is certain: the release alone is not, if
// the program was named or the build has no version of its own. The caller closes the program. The
// error is about programs that could not be compared, or that the server must not run.
//
// The files of the sandbox's processes decide: the program is the file of the gofer or of the sentry, or,
// less certain after an upgrade, it has the sentry next to it. The paths that the processes show come
// after those that are known. The last to decide is the release, if it is of one build only, if the
// files are not readable, or if the programs were named, since a named one may be a copy.
func (s *Source) match(ctx context.Context, paths []string, b Build) (found *program, certain bool, err error) {
	var shown []string
	for _, path := range b.candidates() {
		shown = append(shown, filepath.Join("/", s.options.Root, path))
	}
	var errs []error
	for _, is := range []func(*program) (bool, error){
		func(p *program) (bool, error) { return p.id == b.Sentry.File || p.id == b.Runsc.File, nil },
		func(p *program) (bool, error) { return p.startsSentry(b.Sentry) },
	} {
		for _, list := range []struct {
			paths []string
			may   func(*program) (bool, error)
		}{{paths, s.mayRun}, {shown, (*program).mayBeShown}} {
			p, err := first(list.paths, is, list.may)
			if p != nil {
				return p, true, nil
			}
			errs = append(errs, err)
		}
	}
	found, err = first(paths, func(p *program) (bool, error) { return s.hasRelease(ctx, p, b) })
	return found, b.Release.isUnique(), errors.Join(append(errs, err)...)
}

// first returns the first of the programs for which all tests are true, or nil. The caller closes it.
func first(paths []string, tests ...func(*program) (bool, error)) (*program, error) {
	var errs []error
	for _, path := range paths {
		p, err := open(path)
		passed := err == nil
		for i := 0; passed && i < len(tests); i++ {
			passed, err = tests[i](p)
			passed = passed && err == nil
		}
		if passed {
			return p, nil
		}
		if p != nil {
			p.close()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// mayRun reports whether the server may run a program that is named or in a configuration, which has
// programs of other runtimes, too.
func (s *Source) mayRun(p *program) (bool, error) {
	return len(s.options.Programs) > 0 || p.mayBeRunsc(), nil
}

// mayBeShown reports whether the server may run a program whose path only the sandbox's processes name.
// They may name any file, so it has to look like runsc, in directories that nobody else can write.
func (p *program) mayBeShown() (bool, error) {
	if !p.mayBeRunsc() {
		return false, nil
	}
	return true, p.checkDirs(filepath.Dir(p.path))
}

// hasRelease reports whether a program of the release of the build may be taken for its program,
// and is of that release. It runs no program that may be something else than runsc.
func (s *Source) hasRelease(ctx context.Context, p *program, b Build) (bool, error) {
	named := len(s.options.Programs) > 0
	unreadable := b.Sentry.File == host.File{}
	if b.Release == (Release{}) || !named && !unreadable && !b.Release.isUnique() || !p.mayBeRunsc() {
		return false, nil
	}
	r, err := p.release(ctx)
	return err == nil && r.matches(b.Release), err
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
	return fmt.Errorf("no metrics registered, and %s; name it with --runsc, or save the output of `runsc metric-metadata` and give the file to --runsc", where)
}
