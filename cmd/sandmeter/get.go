package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// filterParam is the server's parameter for a filter of metrics.
const filterParam = "runsc-sandbox-metrics-filter"

// get shows metrics of a running server.
type get struct {
	server  serverFlags
	path    string
	filter  string
	sandbox string
	prefix  string
	json    bool
}

func newGetCommand(std cli.Stdio) *cobra.Command {
	g := get{server: serverFlags{address: defaultListenAddress}, path: metricserver.DefaultTelemetryPath, prefix: metricserver.DefaultExporterPrefix}
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Show metrics of a running server",
		Long: "Show the metrics of a running server: all of them, those whose names match --filter, or those of one --sandbox. If there\n" +
			"are none, the exit status is 1.\n\n" +
			"With --json, values are strings exactly as on the page: JSON numbers cannot represent NaN or infinity, and most JSON\n" +
			"parsers lose precision beyond 2^53.",
		Example: "  sandmeter get --filter '^fs_opens$'\n" +
			"  sandmeter get --sandbox 5f0c2a1b --filter ^sandmeter_sandbox --json\n" +
			"  sandmeter get --address /run/sandmeter.sock",
		Args:    cobra.NoArgs,
		PreRunE: fromEnv,
		RunE:    func(cmd *cobra.Command, _ []string) error { return g.run(cmd.Context(), std) },
	}
	cli.Register(cmd, append(g.server.settings(),
		config.Setting{Name: "web.telemetry-path", Placeholder: "path", Value: &g.path, Help: "The server's path of the metrics."},
		config.Setting{Name: "filter", Placeholder: "regex", Value: &g.filter, Check: checkFilter,
			Help: "Show only metrics whose names match this regex. Those that sandboxes report match without the prefix and _total."},
		config.Setting{Name: "sandbox", Placeholder: "ID", Value: &g.sandbox, Check: checkID,
			Help: "Show only metrics of the sandbox with this ID, or with this unique prefix of its ID."},
		config.Setting{Name: "exporter-prefix", Placeholder: "prefix", Value: &g.prefix, Help: "The server's prefix of all metric names."},
		config.Setting{Name: "json", Value: &g.json, Help: "Write a JSON array of samples instead of the Prometheus text format."})...)
	_ = cmd.RegisterFlagCompletionFunc("sandbox", g.completeSandbox) // fails only for unknown flags
	return cmd
}

func (g *get) run(ctx context.Context, std cli.Stdio) error {
	filter := regexp.MustCompile(g.filter)
	client, err := g.server.client("")
	if err != nil {
		return err
	}
	defer client.Close()
	params := map[string]string{"": g.path}
	if g.filter != "" {
		params[filterParam] = g.filter
	}
	page, err := client.GetMetrics(ctx, params)
	if err != nil {
		return explainGet(ctx, client, err)
	}
	if g.sandbox, err = matchSandbox(g.sandbox, page); err != nil {
		return err
	}
	lines := selectLines(page, g.sandbox, func(family string) bool {
		return !g.isServerFamily(family) || filter.MatchString(strings.TrimPrefix(family, g.prefix))
	})
	if g.json {
		err = writeSamples(std.Out, lines)
	} else {
		err = writeLines(std.Out, lines)
	}
	if err == nil && len(lines) == 0 {
		err = g.nothing(page)
	}
	return err
}

// writeLines writes lines, of which nothing reaches a terminal raw.
func writeLines(w io.Writer, lines []string) error {
	out, onTerminal := bufio.NewWriter(w), cli.IsTerminal(w)
	for _, line := range lines {
		if onTerminal {
			line = cli.OneLine(line) + "\n"
		}
		out.WriteString(line) // Flush returns the error
	}
	return out.Flush()
}

// isServerFamily reports whether a family is the server's own. The server filters the others by the
// names with which runsc registers them, which may differ from those on the page.
func (g *get) isServerFamily(name string) bool {
	return slices.ContainsFunc([]string{g.prefix + "meta_", "sandmeter_", "process_", "go_"},
		func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func checkID(text string) error {
	if text == "" {
		return errors.New("give an ID, or leave the flag out for all sandboxes")
	}
	return nil
}

// completionTimeout limits how long shell completion waits for a server.
const completionTimeout = 2 * time.Second

// completeSandbox completes the IDs of the sandboxes that the server serves.
func (g *get) completeSandbox(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if cli.FromEnv(cmd.Flags()) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, err := g.server.client("")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	defer client.Close()
	page, _ := client.GetMetrics(ctx, map[string]string{"": g.path, filterParam: "^$"}) // the server's own families are enough
	ids := slices.DeleteFunc(sandboxesOn(page), func(id string) bool { return cli.Cell(id) != id })
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// nothing returns the error for a page without matching samples.
func (g *get) nothing(page metricclient.MetricData) error {
	switch all := selectLines(page, "", func(string) bool { return true }); {
	case len(all) == 0:
		return fmt.Errorf("the server at %s has no metrics; give the address of the metric server with --address", g.server.address)
	case g.sandbox != "" && !slices.Contains(sandboxesOn(page), g.sandbox):
		return fmt.Errorf("the server at %s does not serve sandbox %q; sandmeter list shows all sandboxes, and which have metrics", g.server.address, g.sandbox)
	}
	return fmt.Errorf("no metric matches --filter %q; filters match names as runsc registers them, without the prefix and without _total", g.filter)
}

// explainGet adds advice to the error of a request. A server that sent something other than a page
// may not be a metric server: a health check tells.
func explainGet(ctx context.Context, client *metricclient.MetricClient, err error) error {
	health := client.HealthCheck(ctx)
	if advice(err) == "" && advice(health) != "" && !errors.As(health, new(*metricclient.WrongRootError)) {
		err = health
	}
	return advised(err)
}

// selectLines returns the selected lines of the page: samples of wanted families, of one sandbox
// unless sandbox is empty, and the comments of families that have such samples. It parses only
// names and the sandbox label, so that a page of many megabytes takes little time.
func selectLines(page metricclient.MetricData, sandbox string, wanted func(family string) bool) (lines []string) {
	label := `sandbox="` + labelEscaper.Replace(sandbox) + `"`
	ofSandbox := func(line string) bool {
		return sandbox == "" || strings.Contains(line, "{"+label) || strings.Contains(line, ","+label)
	}
	var family string
	var use bool
	var comments []string // of the family, until one of its samples is used
	for line := range strings.Lines(string(page)) {
		if name, isComment := commented(line); isComment {
			if name != family {
				family, use, comments = name, wanted(name), nil
			}
			comments = append(comments, line)
		} else if use && ofSandbox(line) {
			lines = append(append(lines, comments...), line)
			comments = nil
		}
	}
	return lines
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// jsonSample is a sample in the output of get --json. Scripts parse it, so its fields are stable.
type jsonSample struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	Value     string            `json:"value"` // a string, because JSON numbers are not exact beyond 2^53 and cannot be NaN
	Timestamp *time.Time        `json:"timestamp,omitempty"`
}

// writeSamples writes the samples among the lines as a JSON array.
func writeSamples(w io.Writer, lines []string) error {
	samples := []jsonSample{}
	for s, err := range metricclient.MetricData(strings.Join(lines, "")).Samples() {
		if err != nil {
			return err
		}
		j := jsonSample{Name: s.Name, Labels: s.Labels, Value: s.Text}
		if !s.Time.IsZero() {
			j.Timestamp = &s.Time
		}
		samples = append(samples, j)
	}
	return writeJSON(w, samples)
}

// commented returns the family that a HELP or TYPE comment describes.
func commented(line string) (family string, isComment bool) {
	rest, isComment := strings.CutPrefix(line, "# HELP ")
	if !isComment {
		rest, isComment = strings.CutPrefix(line, "# TYPE ")
	}
	family, _, _ = strings.Cut(rest, " ")
	return family, isComment
}
