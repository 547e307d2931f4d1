package cli

import (
	"strings"

	"github.com/spf13/pflag"
)

// repeatableFlag is a flag that may be repeated, with one value per occurrence. The first
// occurrence replaces the default.
type repeatableFlag struct {
	values *[]string
	given  bool
}

// Repeatable adds a repeatable flag. Its default is the current content of values.
func Repeatable(flags *pflag.FlagSet, values *[]string, name, usage string) {
	flags.Var(&repeatableFlag{values: values}, name, usage)
}

func (r *repeatableFlag) String() string { return strings.Join(*r.values, ",") }

func (*repeatableFlag) Type() string { return "string" }

// Set appends a value. The first call discards the default.
func (r *repeatableFlag) Set(value string) error {
	if !r.given {
		*r.values = nil
	}
	r.given = true
	*r.values = append(*r.values, value)
	return nil
}

func (*repeatableFlag) isList() {}
