package doctor

import "fmt"

// The causes of runtime roots.
var (
	noRoots        = Cause{"no_runtime_root", Warning}
	rootMissing    = Cause{"root_missing", Problem}
	rootUnreadable = Cause{"root_unreadable", Problem}
	rootUntrusted  = Cause{"root_not_examined", Warning}
	tooManyRoots   = Cause{"too_many_roots", Problem}
)

var rootsCheck = Check{"runtime_roots", []Cause{noRoots, rootMissing, rootUnreadable, rootUntrusted, tooManyRoots}, judgeRoots}

// judgeRoots judges whether the runtime roots are readable.
func judgeRoots(o *Observed) (string, []Finding) {
	var findings []Finding
	var skipped, leftOut lists
	for i := range o.Roots {
		switch f, wrong := judgeRoot(&o.Roots[i], o.MaxRoots); {
		case wrong && f.Cause == rootUntrusted.Name:
			skipped.add(f, o.Roots[i].Path)
		case wrong && f.Cause == tooManyRoots.Name:
			leftOut.add(f, o.Roots[i].Path)
		case wrong:
			findings = append(findings, f.at(o.Roots[i].Path))
		}
	}
	findings = append(findings, leftOut.findings(func(n int) string { return count(n, "runtime root") + " " + be(n) + " left out" })...)
	findings = append(findings, skipped.findings(func(n int) string {
		return count(n, "runtime root") + " of processes " + be(n) + " not examined"
	})...)
	if len(o.Roots) == 0 {
		findings = append(findings, noRoots.finding("no runtime root was found",
			"no usual directory exists, and no process of runsc is visible here",
			"start a sandbox, or give the directory with --root"))
	}
	return fmt.Sprintf("%s with %s, %d running", count(len(o.Roots), "runtime root"), count(len(o.Sandboxes), "sandbox"), len(o.running())), findings
}

// judgeRoot returns what is wrong with a runtime root, without its path. most is how many a server
// serves.
func judgeRoot(r *Root, most int) (f Finding, wrong bool) {
	switch {
	case r.LeftOut:
		f = tooManyRoots.finding("a runtime root is left out", fmt.Sprintf("a server serves at most %d runtime roots with sandboxes", most), "start a second server for some of them")
	case r.Untrusted != "":
		f = rootUntrusted.finding("the runtime root of "+process(r.PID)+" was not examined", r.Untrusted,
			"give it with --root if you trust its owner")
	case r.Missing && r.Origin == Given:
		f = rootMissing.finding("the runtime root does not exist", r.Err, "correct --root, or start a sandbox with this root")
	case r.Missing && r.Origin == OfProcess:
		f = rootUntrusted.finding("the runtime root of "+process(r.PID)+" was not examined", "it does not exist here, so the process may be in another mount namespace",
			"run this command where the process sees its runtime root, or mount it")
	case r.Missing, r.Err == "":
		return f, false
	case r.Denied:
		f = rootUnreadable.finding("the runtime root is not readable", r.Err, "run as root, or as a user with CAP_DAC_OVERRIDE")
	default:
		f = rootUnreadable.finding("the runtime root is not readable", r.Err, "correct the path, or repair the file system")
	}
	return f, true
}
