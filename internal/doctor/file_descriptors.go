package doctor

import "fmt"

var lowFileLimit = Cause{"low_file_limit", Warning}

// Descriptors that a server needs besides pidfds, which may use half of the limit: 256 for queries
// in flight, and the rest for clients and files.
const (
	otherFiles = 512
	perSandbox = 2
)

var descriptorsCheck = Check{"file_descriptors", []Cause{lowFileLimit}, judgeFileLimits}

// judgeFileLimits judges the limits on open files of this program and of servers.
func judgeFileLimits(o *Observed) (string, []Finding) {
	var findings []Finding
	need := uint64(otherFiles + perSandbox*len(o.running()))
	o.processes(func(p *Process, who, place string) {
		if p.OpenFiles > 0 && p.OpenFiles < need {
			findings = append(findings, lowFileLimit.finding(fmt.Sprintf("%s may open %d files, and serving %s takes up to %d", who, p.OpenFiles, count(len(o.running()), "sandbox"), need),
				"without file descriptors, queries fail, cgroups are read slowly, and exit codes of sandboxes stay unknown",
				fmt.Sprintf("raise the limit: LimitNOFILE=%d in the unit, or ulimit -n %d in the shell", roundUp(need), roundUp(need))).at(place))
		}
	})
	return fmt.Sprintf("%d open files allowed, %d needed", o.Self.OpenFiles, need), findings
}

// roundUp returns the next power of two from 1024 on.
func roundUp(n uint64) uint64 {
	limit := uint64(1024)
	for limit < n {
		limit *= 2
	}
	return limit
}
