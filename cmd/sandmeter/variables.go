package main

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// removedFlags are the flags of earlier versions, with what to use instead.
var removedFlags = map[string]string{
	"drop-label":                   "labeldrop in Prometheus, or --metric-deny",
	"final-records-max-size":       "--final-records=FILE,max-size=N",
	"linger-max":                   "nothing, it is 1,000",
	"match-address":                "sandmeter metric-server",
	"max-collections-per-second":   "nothing, it is 20",
	"only-instrumented":            "--runsc=off",
	"openmetrics-created":          "nothing, protobuf has these times",
	"registration":                 "--runsc=FILE",
	"timestamps":                   "sandmeter metric-server",
	"usage-detail":                 "--usage=own,detail",
	"web.disable-exporter-metrics": "--metric-deny='(go|process)_.*'",
	"zero-counters-with-fields":    "--zero-counters=all,NAME",
}

var flagWord = regexp.MustCompile(`--[\w.-]+`)

// explainRemoved adds to the error about an unknown flag what to use instead.
func explainRemoved(err error) error {
	unknown, is := errors.AsType[*pflag.NotExistError](err)
	if !is || removedFlags[unknown.GetSpecifiedName()] == "" {
		return err
	}
	return fmt.Errorf("%w: use %s", err, removedFlags[unknown.GetSpecifiedName()])
}

// otherVariables are not of flags: the program that metricclient starts, variables of tests, and the variables that Kubernetes
// sets in each pod for a service with the name sandmeter.
var otherVariables = regexp.MustCompile(`^SANDMETER_((SERVER|CONTAINERD|KUBERNETES|IMAGE|VM)$|TEST_|REQUIRE_|E2E_|(SERVICE|PORT)(_|$))`)

// warnOfVariables logs each environment variable that looks like a flag's, and belongs to no flag of any command.
func warnOfVariables(log *slog.Logger, root *cobra.Command, environ []string) {
	var known []string
	for _, c := range root.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, cli.EnvName(f.Name)) })
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, cli.EnvPrefix) || slices.Contains(known, name) || otherVariables.MatchString(name) {
			continue
		}
		attrs := []any{"variable", name}
		if instead := replacement(name, known); instead != "" {
			attrs = append(attrs, "instead", instead)
		}
		log.Warn("Unknown environment variable has no effect", attrs...)
	}
}

// replacement returns what to use instead of an unknown variable, or "".
func replacement(name string, known []string) string {
	for flag, instead := range removedFlags {
		if cli.EnvName(flag) == name {
			return flagWord.ReplaceAllStringFunc(instead, func(flag string) string { return cli.EnvName(flag[2:]) })
		}
	}
	// cobra suggests commands with similar names.
	similar := cobra.Command{SuggestionsMinimumDistance: 3}
	for _, variable := range known {
		similar.AddCommand(&cobra.Command{Use: variable, Run: func(*cobra.Command, []string) {}})
	}
	suggestions := similar.SuggestionsFor(name)
	slices.Sort(suggestions)
	return strings.Join(slices.Compact(suggestions), " or ")
}
