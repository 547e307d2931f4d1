package metricserver

import (
	"fmt"
	"os"
	"slices"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/registration"
)

// newSource returns the source of registrations that the options ask for, or nil. It opens only a file with a
// registration. The caller closes the source.
func (o *Options) newSource() (*registration.Source, error) {
	if o.onlyInstrumented() || o.DropIn {
		return nil, nil
	}
	find := registration.Options{Root: "/", Path: os.Getenv("PATH"), Logger: o.Logger}
	for _, path := range o.Runsc {
		info, err := os.Stat(path)
		switch {
		case err != nil || info.Mode()&0o111 != 0: // a program may be installed later
			find.Programs = append(find.Programs, path)
			continue
		case find.Fallback != nil:
			return nil, fmt.Errorf("runsc %q: a second file with a registration: name one", path)
		}
		if find.Fallback, err = registration.Load(path); err != nil {
			return nil, fmt.Errorf("runsc: neither a program nor the output of runsc metric-metadata: %w", err)
		}
	}
	return registration.NewSource(find), nil
}

// registrationsOf returns a source as an option of a collector.
func registrationsOf(source *registration.Source) collect.Registrations {
	if source == nil {
		return nil // and not an interface with a nil in it
	}
	return source
}

// onlyInstrumented reports whether sandboxes without a registration in their state file are left out.
func (o *Options) onlyInstrumented() bool { return slices.Contains(o.Runsc, RunscOff) }
