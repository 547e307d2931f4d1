package metricserver

import (
	"errors"

	"github.com/sandmeter/sandmeter/internal/privilege"
)

// dropPrivileges removes the capability that the server does not need any more. A program that uses
// cgo keeps it, as test programs with the race detector do; released programs do not use cgo.
func dropPrivileges() error {
	if err := privilege.DropNetAdmin(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
