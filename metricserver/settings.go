package metricserver

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/totals"
	"github.com/sandmeter/sandmeter/internal/web"
)

// Settings sets the defaults of o, and returns the options that are flags of the program, in the order of its
// help. Their values point into o.
func (o *Options) Settings() []config.Setting {
	o.setDefaults()
	const roots, listening, pages, usage, ended, totals = "Runtime roots", "Listening", "Families", "Usage", "Ended sandboxes", "Totals and records"
	return []config.Setting{
		{Name: "root", Heading: roots, Placeholder: "directory", Value: &o.Roots, Check: checkRoot, Path: true,
			Help: "Runtime root: the directory of runsc's state files, or a glob. Repeatable."},
		{Name: "allow-unknown-root", Heading: roots, Value: &o.AllowUnknownRoot, Help: "Start without the runtime root."},
		{Name: "runsc", Heading: roots, Placeholder: "file", Value: &o.Runsc, Choices: []string{RunscOff}, Path: true,
			Help: "Take registrations from this runsc program instead of the programs of Docker, containerd and PATH, or, if there is no other, from " +
				"this output of runsc metric-metadata. off: serve only sandboxes that were created with a --metric-server. Repeatable."},
		{Name: "sandbox-timeout", Heading: roots, Placeholder: "duration", Value: &o.SandboxTimeout, Check: checkPositive,
			Help: "Timeout for the reply of a sandbox."},
		{Name: "max-age", Heading: roots, Placeholder: "duration", Value: &o.MaxAge, Check: checkNotNegative,
			Help: "Serve a snapshot again if it is not older than this. 0 means never."},

		{Name: "web.listen-address", Heading: listening, Placeholder: "address", Value: &o.Addresses, Check: config.CheckAddress,
			Help: "Address to listen on: host:port, :port, or the absolute path of a Unix socket. Repeatable."},
		{Name: "web.socket-mode", Heading: listening, Placeholder: "mode", Value: &o.SocketMode, Check: checkMode,
			Help: "File mode of a Unix socket."},
		{Name: "web.socket-group", Heading: listening, Placeholder: "group", Value: &o.SocketGroup,
			Help: "Owning group of a Unix socket. (default: the group of the server)"},
		{Name: "web.config.file", Heading: listening, Placeholder: "file", Value: &o.WebConfigFile,
			Help: "File with TLS, client certificates, passwords, rate limit and headers, in the format of Prometheus's exporter-toolkit."},
		{Name: "web.telemetry-path", Heading: listening, Placeholder: "path", Value: &o.TelemetryPath, Check: web.CheckMetricsPath,
			Help: "Path of the metrics."},
		{Name: "web.allowed-hosts", Heading: listening, Placeholder: "names", Value: &o.AllowedHosts, Check: checkHost,
			Help: "Additional host names to accept on loopback addresses. Repeatable."},
		{Name: "web.enable-registration", Heading: listening, Value: &o.EnableRegistering,
			Help: "Let clients register and unregister sandboxes. An unregistered sandbox is hidden until it is registered, or its ID is used, again."},
		{Name: "allow-profiling", Heading: listening, Value: &o.AllowProfiling, Help: "Serve CPU and heap profiles of the server."},

		{Name: "metric-naming", Heading: pages, Placeholder: "naming", Value: &o.MetricNaming, Choices: []string{PrometheusNaming, RunscNaming},
			Help: "Names and units of metrics: prometheus, or runsc as in gVisor's own server."},
		{Name: "exporter-prefix", Heading: pages, Placeholder: "prefix", Value: &o.ExporterPrefix, Check: checkPrefix,
			Help: "Common prefix of all metric names."},
		{Name: "metric-allow", Heading: pages, Placeholder: "regex", Value: &o.MetricAllow, Check: page.CheckPattern, Whole: true,
			Help: "Show only those families about sandboxes whose whole name this regex matches. Repeatable. (default: all)"},
		{Name: "metric-deny", Heading: pages, Placeholder: "regex", Value: &o.MetricDeny, Check: page.CheckPattern, Whole: true,
			Help: "Leave out families whose whole name this regex matches. Repeatable."},
		{Name: "zero-counters", Heading: pages, Placeholder: "names", Value: &o.ZeroCounters, Check: checkCounter, Choices: []string{ZeroCountersAll, ZeroCountersOff},
			Help: "Show these counters if they are zero: all for those without labels of their own, and names, as runsc registers them, of " +
				"counters whose series are all shown; or off. Repeatable."},
		{Name: "max-sandboxes-with-series", Heading: pages, Placeholder: "number", Value: &o.MaxSandboxesWithSeries, Check: checkNotNegative,
			Help: "Give series of their own to at most this many sandboxes; the oldest keep theirs. 0 means no limit."},

		{Name: "usage", Heading: usage, Placeholder: "names", Value: &o.Usage, Choices: []string{UsageOwn, UsageCadvisor, UsageDetail, UsageOff},
			Help: "Measure each sandbox's CPU, memory and network on the host, under Sandmeter's own names (own), cAdvisor's (cadvisor), or both. " +
				"detail: also query each container for its memory and processes. off: measure nothing. Repeatable."},

		{Name: "linger", Heading: ended, Placeholder: "duration", Value: &o.Linger, Check: checkNotNegative,
			Help: "Keep a sandbox on the page for this long after its end, with its outcome and counters. 0 means not at all."},
		{Name: "final-metrics-log", Heading: ended, Placeholder: "pattern", Value: &o.FinalMetricsLog, Check: config.CheckFinalMetricsLog,
			Help: "Read the last metrics of ended sandboxes from these files: the value of runsc's flag of that name, with %ID%."},

		{Name: "totals-by", Heading: totals, Placeholder: "group", Value: &o.TotalsBy, Check: checkTotalsBy, Choices: []string{TotalsOff},
			Help: "Group the totals over live and ended sandboxes by none, namespace, or annotation:KEY; off means no totals. " +
				"(default: none; off with metric-server and no totals-metric)"},
		{Name: "totals-metric", Heading: totals, Placeholder: "names", Value: &o.TotalsMetrics,
			Help: "Add totals of these counters, named as runsc registers them. Repeatable."},
		{Name: "final-records", Heading: totals, Placeholder: "file", Value: &o.FinalRecords, Check: checkRecords,
			Help: "Append a line of JSON for each sandbox that ends to this file, or to standard output if it is -. It is renamed to FILE.1 before " +
				"it exceeds 100 MB; FILE,max-size=N sets another size in MB, and 0 means never."},
	}
}

// check returns an error that lists all invalid options, and makes paths absolute.
func (o *Options) check() error {
	var errs []error
	for _, s := range o.Settings() {
		s.Path = s.Path && !o.DropIn // gVisor's own server takes the path of the root as it is
		errs = append(errs, s.Verify())
	}
	wrong := func(is bool, name, text string) {
		if is {
			errs = append(errs, errors.New(name+": "+text))
		}
	}
	mixed := func(list []string) bool { return len(list) > 1 && slices.Contains(list, "off") }
	wrong(mixed(o.Runsc), "runsc", "off excludes other values")
	wrong(mixed(o.ZeroCounters), "zero-counters", "off excludes other values")
	wrong(mixed(o.Usage), "usage", "off excludes other values")
	wrong(slices.Equal(o.Usage, []string{UsageDetail}), "usage", "detail is in addition to own, cadvisor or both")
	wrong(o.TotalsBy == TotalsOff && len(o.TotalsMetrics) > 0, "totals-metric", "there are no totals with totals-by off")
	if err := families.CheckTotals(o.TotalsMetrics); err != nil {
		errs = append(errs, fmt.Errorf("totals-metric %w", err))
	}
	return errors.Join(errs...)
}

func checkRoot(text string) error {
	if _, err := filepath.Match(text, ""); err != nil {
		return errors.New("the glob is invalid: escape [, * and ? with a backslash if they are part of a name")
	}
	return nil
}

func checkNotNegative(text string) error {
	if strings.HasPrefix(text, "-") {
		return errors.New("must not be negative")
	}
	return nil
}

func checkPositive(text string) error {
	if d, _ := time.ParseDuration(text); d <= 0 { // it has been parsed before
		return errors.New("must be positive")
	}
	return nil
}

func checkMode(text string) error {
	if strings.Trim(text, "0") == "" {
		return errors.New("give an octal number such as 0660")
	}
	return nil
}

var validHost = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

func checkHost(text string) error {
	if !validHost.MatchString(text) {
		return errors.New("give a host name without port; IP addresses are always allowed")
	}
	return nil
}

var validPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// reservedPrefixes are the prefixes of families that do not come from sandboxes.
var reservedPrefixes = []string{"sandmeter_", "process_", "go_", "container_"}

func checkPrefix(text string) error {
	if text != "" && !validPrefix.MatchString(text) {
		return errors.New("use letters, digits and underscores, no digit first: Prometheus refuses other names")
	}
	for _, reserved := range reservedPrefixes {
		if strings.HasPrefix(text, reserved) {
			return fmt.Errorf("names that begin with %s are reserved", reserved)
		}
	}
	return nil
}

// checkCounter refuses the values of earlier versions, too.
func checkCounter(text string) error {
	if !schema.ValidName(text) || text == "on" {
		return errors.New("give all, off, or names of counters as runsc registers them, such as fs_opens")
	}
	return nil
}

func checkTotalsBy(text string) error {
	if _, err := totals.ParseBy(text); err != nil {
		return fmt.Errorf("%w, or %s", err, TotalsOff)
	}
	return nil
}
