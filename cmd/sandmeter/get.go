package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// filterParam is the server's parameter for a filter of metrics.
const filterParam = "runsc-sandbox-metrics-filter"

// get shows metrics of a running server.
type get struct {
	server  string
	filter  string
	sandbox string
	prefix  string
	json    bool
}

func newGetCommand(std cli.Stdio) *cobra.Command {
	var g get
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Show metrics of a running server",
		Long: "Show metrics of a running server: all, those whose names match a regular expression, or those of one sandbox. The\n" +
			"expression is matched against names without their prefix. It ends with 1 where there are none.\n\n" +
			"In JSON a value is a string, as it stands on the page: JSON's numbers have no NaN and no infinity, and most readers of them\n" +
			"lose what is beyond 2^53.",
		Example: "  sandmeter get --filter '^fs_opens$'\n" +
			"  sandmeter get --sandbox 5f0c2a1b --filter ^meta_sandbox --json\n" +
			"  sandmeter get --address /run/sandmeter.sock",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.sandbox == "" && cmd.Flags().Changed("sandbox") {
				return cli.Usagef("--sandbox is empty: name a sandbox, or leave it out for all")
			}
			return g.run(cmd.Context(), std)
		},
	}
	flags := cmd.Flags()
	registerServer(flags, &g.server)
	flags.StringVar(&g.filter, "filter", "", "only metrics whose names match this regular `expression`")
	flags.StringVar(&g.sandbox, "sandbox", "", "only metrics of the sandbox with this `ID`, or the only one whose ID begins so")
	flags.StringVar(&g.prefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "the server's `prefix` of metric names")
	flags.BoolVar(&g.json, "json", false, "write a JSON array of samples instead of Prometheus's text format")
	_ = cmd.RegisterFlagCompletionFunc("sandbox", g.completeSandbox) // fails for flags that are not there
	return cmd
}

func (g *get) run(ctx context.Context, std cli.Stdio) error {
	filter, err := compileFilter(g.filter)
	if err != nil {
		return err
	}
	if err := checkAddress("--address", g.server); err != nil {
		return err
	}
	params := map[string]string{}
	if g.filter != "" {
		params[filterParam] = g.filter
	}
	client := metricclient.NewMetricClient(g.server, "")
	defer client.Close()
	page, err := client.GetMetrics(ctx, params)
	if err != nil {
		return explainGet(ctx, client, err)
	}
	if g.sandbox, err = matchSandbox(g.sandbox, page); err != nil {
		return err
	}
	wanted := func(family string) bool { return filter.MatchString(strings.TrimPrefix(family, g.prefix)) }
	out := bufio.NewWriter(std.Out)
	if g.json {
		err = writeSamples(out, selectLines(page, wanted, g.sandbox))
	} else {
		onTerminal := cli.IsTerminal(std.Out)
		for line := range selectLines(page, wanted, g.sandbox) {
			if onTerminal {
				line = printable(line)
			}
			out.WriteString(line) // Flush has the error
		}
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if isEmpty(selectLines(page, wanted, g.sandbox)) {
		return g.nothing(page)
	}
	return nil
}

// completionTimeout bounds how long a shell waits for a server.
const completionTimeout = 2 * time.Second

// completeSandbox returns the IDs of the sandboxes that the server serves.
func (g *get) completeSandbox(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if cli.FromEnv(cmd.Flags()) != nil || checkAddress("--address", g.server) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	client := metricclient.NewMetricClient(g.server, "")
	defer client.Close()
	page, _ := client.GetMetrics(ctx, map[string]string{filterParam: "^$"}) // the server's own families are enough
	ids := slices.DeleteFunc(sandboxesOn(page), func(id string) bool { return cli.Cell(id) != id })
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// nothing is the error of a page on which nothing was selected.
func (g *get) nothing(page metricclient.MetricData) error {
	anything := func(string) bool { return true }
	switch {
	case isEmpty(selectLines(page, anything, "")):
		return fmt.Errorf("what answers at %s has no metrics; name the address of the metric server with --address", g.server)
	case isEmpty(selectLines(page, anything, g.sandbox)):
		return fmt.Errorf("sandbox %q is not on the page of the server at %s; sandmeter list shows which there are, and which have metrics", g.sandbox, g.server)
	}
	return fmt.Errorf("no metric matches --filter %q; it is matched against names without their prefix, which is %q or what --exporter-prefix says", g.filter, g.prefix)
}

func isEmpty(lines iter.Seq[string]) bool {
	for range lines {
		return false
	}
	return true
}

// explainGet adds to why there is no page what to do about it. Whoever answers with something else may be no metric server: only a health
// check tells.
func explainGet(ctx context.Context, client *metricclient.MetricClient, err error) error {
	health := client.HealthCheck(ctx)
	if advice(err) == "" && advice(health) != "" && !errors.As(health, new(*metricclient.WrongRootError)) {
		err = health
	}
	return advised(err)
}

// selectLines returns the lines of the page that are wanted: samples of wanted families and, if sandbox is not empty, of that sandbox, and
// the comments of a family that has any. It looks at names and that label only, so that a page of many megabytes takes no time.
func selectLines(page metricclient.MetricData, wanted func(family string) bool, sandbox string) iter.Seq[string] {
	label := `sandbox="` + labelEscaper.Replace(sandbox) + `"`
	ofSandbox := func(line string) bool {
		return sandbox == "" || strings.Contains(line, "{"+label) || strings.Contains(line, ","+label)
	}
	return func(yield func(string) bool) {
		var family string
		var use bool
		var comments []string // of the family, until one of its samples is used
		for line := range strings.Lines(string(page)) {
			if name, isComment := commented(line); isComment {
				if name != family {
					family, use, comments = name, wanted(name), comments[:0]
				}
				comments = append(comments, line)
				continue
			}
			if !use || !ofSandbox(line) {
				continue
			}
			for _, c := range comments {
				if !yield(c) {
					return
				}
			}
			comments = comments[:0]
			if !yield(line) {
				return
			}
		}
	}
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// jsonSample is a sample as get writes it. Scripts read it.
type jsonSample struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	Value     string            `json:"value"` // text, since JSON's numbers are neither exact beyond 2^53 nor NaN
	Timestamp *time.Time        `json:"timestamp,omitempty"`
}

// writeSamples writes the samples among the lines as a JSON array.
func writeSamples(w io.Writer, lines iter.Seq[string]) error {
	samples := []jsonSample{}
	for line := range lines {
		for s, err := range metricclient.MetricData(line).Samples() {
			if err != nil {
				return err
			}
			j := jsonSample{Name: s.Name, Labels: s.Labels, Value: s.Text}
			if !s.Time.IsZero() {
				j.Timestamp = &s.Time
			}
			samples = append(samples, j)
		}
	}
	return writeJSON(w, samples)
}

// commented returns the family that a HELP or TYPE comment is about.
func commented(line string) (family string, isComment bool) {
	rest, isComment := strings.CutPrefix(line, "# HELP ")
	if !isComment {
		rest, isComment = strings.CutPrefix(line, "# TYPE ")
	}
	family, _, _ = strings.Cut(rest, " ")
	return family, isComment
}
