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

// patternsFlag is a list of regular expressions, with one per occurrence.
type patternsFlag struct{ patterns *[]string }

// Patterns adds a repeatable flag for regular expressions. In the environment it has one, since
// commas are part of the syntax.
func Patterns(flags *pflag.FlagSet, patterns *[]string, name, usage string) {
	flags.Var(patternsFlag{patterns}, name, usage)
}

func (p patternsFlag) String() string {
	if p.patterns == nil { // package flag calls it on a zero value
		return ""
	}
	return strings.Join(*p.patterns, ", ")
}

func (patternsFlag) Type() string { return "string" }

// Set adds a pattern.
func (p patternsFlag) Set(value string) error {
	*p.patterns = append(*p.patterns, value)
	return nil
}

func (patternsFlag) isList() {}
