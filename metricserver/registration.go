package metricserver

import (
	"fmt"
	"os"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/registration"
)

// newSource returns the source of registrations that the options ask for, or nil. It opens only the
// registration file. The caller closes the source.
func (o *Options) newSource() (*registration.Source, error) {
	if o.OnlyInstrumented || o.DropIn {
		return nil, nil
	}
	find := registration.Options{Programs: o.Runsc, Root: "/", Path: os.Getenv("PATH"), Logger: o.Logger}
	if o.RegistrationFile != "" {
		r, err := registration.Load(o.RegistrationFile)
		if err != nil {
			return nil, fmt.Errorf("registration file: %w", err)
		}
		find.Fallback = r
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
