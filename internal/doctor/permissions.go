package doctor

import "fmt"

// The causes of permissions.
var (
	cannotQuery   = Cause{"cannot_query", Warning}
	cannotMeasure = Cause{"cannot_measure", Warning}
)

var permissionsCheck = Check{"permissions", []Cause{cannotQuery, cannotMeasure}, judgePermissions}

// judgePermissions judges the users and capabilities of this program and of servers.
func judgePermissions(o *Observed) (string, []Finding) {
	var findings []Finding
	summary := "user root"
	o.processes(func(p *Process, who, place string) {
		switch {
		case p.UID == 0:
			return
		case !p.has(capDACOverride):
			findings = append(findings, cannotQuery.finding(fmt.Sprintf("%s runs as user %d and cannot query sandboxes of others", who, p.UID),
				"connecting to a control socket takes write permission on it: user root, or CAP_DAC_OVERRIDE",
				"run as root; root needs no capabilities").at(place))
		case !p.has(capSysPtrace):
			findings = append(findings, cannotMeasure.finding(fmt.Sprintf("%s runs as user %d and cannot measure networks of sandboxes", who, p.UID),
				"reading a process's network namespace and program file takes user root, or CAP_SYS_PTRACE",
				"run as root, or add CAP_SYS_PTRACE").at(place))
		}
		summary = fmt.Sprintf("user %d", p.UID)
	})
	return summary, findings
}

// processes calls f with this program and with each server whose process is known. who is for
// texts.
func (o *Observed) processes(f func(p *Process, who, place string)) {
	f(&o.Self, "this command", process(o.Self.PID))
	for _, s := range o.Relevant() {
		if s.Process.Known {
			f(&s.Process, "the server", s.name())
		}
	}
}
