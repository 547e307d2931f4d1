package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/config"
)

// The causes of final metrics logs.
var (
	finalLogPattern  = Cause{"final_log_pattern", Problem}
	finalLogWritable = Cause{"final_log_writable", Problem}
	finalLogLiteral  = Cause{"final_log_literal", Warning}
	finalLogDiffers  = Cause{"final_log_differs", Problem}
	finalLogUnread   = Cause{"final_log_unread", Warning}
	finalLogMissing  = Cause{"final_log_missing", Warning}
)

var finalLogCheck = Check{"final_metrics_log", []Cause{finalLogPattern, finalLogWritable, finalLogLiteral, finalLogDiffers, finalLogUnread, finalLogMissing}, judgeFinalLogs}

// judgeFinalLogs judges where sandboxes leave their last metrics, and where servers read them.
func judgeFinalLogs(o *Observed) (string, []Finding) {
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
}

// written are patterns with which sandboxes were or will be created, sorted, and where each is
// from.
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

// judgeFinalLogDirs returns the directories that others than root can write, and the files of a
// runsc that does not replace placeholders.
func judgeFinalLogDirs(o *Observed, w written) []Finding {
	used := slices.Clone(w.patterns)
	for _, s := range o.Relevant() {
		used = append(used, s.Settings.FinalMetricsLog)
	}
	var findings []Finding
	for _, dir := range o.FinalLogs {
		if dir.Literal != "" && slices.Contains(used, dir.Pattern) {
			findings = append(findings, finalLogLiteral.finding("runsc left last metrics in a file whose name has a placeholder",
				"the runsc that wrote it does not replace placeholders in --final-metrics-log, so all of its sandboxes truncate the same file",
				"install a newer runsc, create the sandboxes again, and remove the file").at(dir.Literal))
		}
		if dir.Writers != "" && slices.Contains(used, dir.Pattern) {
			findings = append(findings, finalLogWritable.finding("users other than root can write the directory of final metrics logs", dir.Writers,
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
		if s.serves(sandbox) && sandbox.Running {
			sandboxes++
		}
		return s.serves(sandbox)
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

// DirOf returns the directory of a pattern for final metrics logs that does not depend on a
// sandbox.
func DirOf(pattern string) string {
	dir := filepath.Dir(pattern)
	for strings.Contains(dir, "%") {
		dir = filepath.Dir(dir)
	}
	return dir
}
