package doctor

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// The causes of final metrics logs, kubelet, the clock and runsc.
var (
	finalLogPattern  = Cause{"final_log_pattern", Problem}
	finalLogWritable = Cause{"final_log_writable", Problem}
	finalLogDiffers  = Cause{"final_log_differs", Problem}
	finalLogUnread   = Cause{"final_log_unread", Warning}
	finalLogMissing  = Cause{"final_log_missing", Warning}

	sumsDouble     = Cause{"sums_double", Problem}
	kubeletUnknown = Cause{"kubelet_unknown", Warning}

	notSynchronized = Cause{"clock_not_synchronized", Warning}
	clockSetBack    = Cause{"clock_set_back", Warning}

	runscOld      = Cause{"runsc_old", Warning}
	runscReplaced = Cause{"runsc_replaced", Warning}
)

var finalLogCheck = Check{"final_metrics_log", []Cause{finalLogPattern, finalLogWritable, finalLogDiffers, finalLogUnread, finalLogMissing},
	func(o *Observed) (string, []Finding) {
		all := writtenPatterns(o, func(*Sandbox) bool { return true })
		findings := judgePatterns(all)
		if len(findings) == 0 {
			for _, s := range o.Relevant() {
				findings = append(findings, comparePatterns(o, s)...)
			}
		}
		findings = append(findings, judgeFinalLogDirs(o, all)...)
		if len(all.patterns) == 0 {
			return "sandboxes leave no last metrics", findings
		}
		return "sandboxes leave their last metrics in " + strings.Join(all.patterns, ", "), findings
	}}

// written are patterns with which sandboxes were or will be created, sorted, and where each is from.
type written struct {
	patterns []string
	places   map[string][]string
}

func (w *written) add(pattern, place string) {
	if pattern != "" {
		w.patterns = append(w.patterns, pattern)
		w.places[pattern] = append(w.places[pattern], place)
	}
}

// writtenPatterns returns the patterns of some of the sandboxes, and of configured runtimes.
func writtenPatterns(o *Observed, of func(s *Sandbox) bool) written {
	w := written{places: make(map[string][]string)}
	for i := range o.Sandboxes {
		s := &o.Sandboxes[i]
		if r := o.runsc(s.PID); r != nil && of(s) {
			w.add(r.FinalMetricsLog, process(r.PID))
		}
	}
	for _, r := range o.Runtimes {
		w.add(r.FinalMetricsLog, r.File)
	}
	slices.Sort(w.patterns)
	w.patterns = slices.Compact(w.patterns)
	return w
}

// judgePatterns returns the patterns that no server can use.
func judgePatterns(w written) []Finding {
	var findings []Finding
	for _, pattern := range w.patterns {
		if err := config.CheckFinalMetricsLog(pattern); err != nil {
			findings = append(findings, finalLogPattern.finding("runsc's --final-metrics-log is "+pattern, err.Error(),
				"correct the flag in the settings of the runtime and create the sandboxes again").at(w.places[pattern]...))
		}
	}
	return findings
}

// judgeFinalLogDirs returns the directories that others than root can write.
func judgeFinalLogDirs(o *Observed, w written) []Finding {
	used := slices.Clone(w.patterns)
	for _, s := range o.Relevant() {
		used = append(used, s.Settings.FinalMetricsLog)
	}
	var findings []Finding
	for _, dir := range o.FinalLogs {
		if dir.Writers != "" && slices.Contains(used, dir.Pattern) {
			findings = append(findings, finalLogWritable.finding("others than root can write the directory of final metrics logs", dir.Writers,
				fmt.Sprintf("chown root:root %s && chmod 0755 %s, and the same for its parents", dir.Dir, dir.Dir)).at(dir.Dir))
		}
	}
	return findings
}

// comparePatterns compares the pattern of a server with those of the sandboxes that it serves.
func comparePatterns(o *Observed, s *Server) []Finding {
	if s.Settings.Command != "serve" || s.SettingsErr != "" {
		return nil
	}
	sandboxes := 0
	w := writtenPatterns(o, func(sandbox *Sandbox) bool {
		serves := s.Settings.Has(sandbox.Root) || s.find(sandbox) != nil
		if serves && sandbox.Running {
			sandboxes++
		}
		return serves
	})
	switch read := s.Settings.FinalMetricsLog; {
	case read == "" && len(w.patterns) > 0:
		return []Finding{finalLogUnread.finding("nothing reads the last metrics of sandboxes", s.name()+" runs without --final-metrics-log",
			"add --final-metrics-log '"+w.patterns[0]+"' to the server").at(w.places[w.patterns[0]]...)}
	case read != "" && len(w.patterns) == 0 && sandboxes > 0:
		return []Finding{finalLogMissing.finding("sandboxes leave no last metrics", s.name()+" expects them in "+read,
			"add final-metrics-log to the settings of the runtime; it applies to sandboxes that are created from then on").at(s.name())}
	case read != "" && len(w.patterns) > 0 && !slices.Contains(w.patterns, read):
		return []Finding{finalLogDiffers.finding("the server looks for last metrics elsewhere than sandboxes leave them",
			fmt.Sprintf("%s reads %s, and runsc writes %s", s.name(), read, strings.Join(w.patterns, ", ")), "give both the same pattern").at(s.name())}
	}
	return nil
}

var kubeletCheck = Check{"kubelet", []Cause{sumsDouble, kubeletUnknown}, func(o *Observed) (string, []Finding) {
	var findings []Finding
	for _, s := range o.Relevant() {
		if !s.Settings.cadvisorNames() {
			continue
		}
		for _, k := range o.Kubelets {
			switch {
			case k.StatsFromCRI:
				findings = append(findings, sumsDouble.finding("sums over containers count sandboxes twice",
					fmt.Sprintf("kubelet's /metrics/cadvisor has the containers of sandboxes (%s), and so has %s with --usage=%s", k.SetBy, s.name(), s.Settings.Usage),
					"run the server with --usage=own, or leave out the feature gate").at(process(k.PID), s.name()))
			case k.Err != "":
				findings = append(findings, kubeletUnknown.finding("whether sums over containers count sandboxes twice is unknown", k.Err,
					"see whether kubelet runs with the feature gate PodAndContainerStatsFromCRI; if so, run the server with --usage=own").at(process(k.PID), s.name()))
			}
		}
	}
	switch {
	case len(o.Kubelets) == 0:
		return "no kubelet is visible", findings
	case slices.ContainsFunc(o.Kubelets, func(k Kubelet) bool { return k.StatsFromCRI }):
		return "kubelet has the figures of sandboxes too: use --usage=own", findings
	}
	return "kubelet has no figures of containers in sandboxes", findings
}}

// clockMargin is how far in the future the creation of a sandbox may be.
const clockMargin = time.Minute

var clockCheck = Check{"clock", []Cause{notSynchronized, clockSetBack}, func(o *Observed) (string, []Finding) {
	var findings []Finding
	var future []*Sandbox
	for i := range o.Sandboxes {
		if s := &o.Sandboxes[i]; s.CreatedAt.Sub(o.Time) > clockMargin {
			future = append(future, s)
		}
	}
	if n := len(future); n > 0 {
		findings = append(findings, clockSetBack.finding(count(n, "sandbox")+": created in the future",
			fmt.Sprintf("the wall clock was set back after they were created, or is wrong now: it is %s", o.Time.UTC().Format(time.RFC3339)),
			"set the clock with a time service such as chrony or systemd-timesyncd").of(future...))
	}
	if o.Clock.Known && !o.Clock.Synchronized {
		findings = append(findings, notSynchronized.finding("the kernel says that the clock is not synchronized",
			"no time service disciplines it, so times on pages and in records may be wrong",
			"start a time service such as chrony or systemd-timesyncd; on a virtual machine that the hypervisor keeps in time, ignore this"))
	}
	switch {
	case len(findings) > 0:
		return "the clock may be wrong", findings
	case !o.Clock.Known:
		return "whether the clock is synchronized is not known", nil
	}
	return "the clock is synchronized", nil
}}

// maxAge is the age from which a release of runsc is old. gVisor has a release every week.
const maxAge = 182 * 24 * time.Hour

var releaseDate = regexp.MustCompile(`^release-(20\d{6})\.`)

// built returns when a sandbox's runsc was released or built; zero: not known.
func (o *Observed) built(s *Sandbox) time.Time {
	if m := releaseDate.FindStringSubmatch(s.Version); m != nil {
		if t, err := time.Parse("20060102", m[1]); err == nil {
			return t
		}
	}
	if p := o.runsc(s.PID); p != nil {
		return p.Built
	}
	return time.Time{}
}

var runscCheck = Check{"runsc", []Cause{runscOld, runscReplaced}, func(o *Observed) (string, []Finding) {
	var g groups
	var versions []string
	for _, s := range o.running() {
		versions = append(versions, cmp.Or(s.Version, "unknown"))
		built := o.built(s)
		if age := o.Time.Sub(built); !built.IsZero() && age > maxAge {
			g.add(s, runscOld.finding(fmt.Sprintf("runsc is %d days old (%s)", days(age), orNone(s.Version)),
				"gVisor has a release every week, and security fixes are in new ones only",
				"install a current runsc, and create the sandboxes again"))
		}
	}
	findings := g.findings()
	var replaced []*Sandbox
	for _, s := range o.running() {
		if p := o.runsc(s.PID); p != nil && p.Replaced {
			replaced = append(replaced, s)
		}
	}
	if n := len(replaced); n > 0 {
		findings = append(findings, runscReplaced.finding(count(n, "sandbox")+": their runsc is not on disk any more",
			"runsc was upgraded or removed after they were created", "create the sandboxes again to run the installed release").of(replaced...))
	}
	slices.Sort(versions)
	versions = slices.Compact(versions)
	if len(versions) == 0 {
		return "no sandbox is running", findings
	}
	return "running releases: " + strings.Join(versions, ", "), findings
}}

// DirOf returns the directory of a pattern for final metrics logs that does not depend on a sandbox.
func DirOf(pattern string) string {
	dir := filepath.Dir(pattern)
	for strings.Contains(dir, "%") {
		dir = filepath.Dir(dir)
	}
	return dir
}
