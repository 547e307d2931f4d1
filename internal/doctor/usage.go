package doctor

import "slices"

// absences say why figures about sandboxes are absent, by the reasons of
// sandmeter_sandbox_usage_absent.
var absences = []struct{ reason, what, why, change string }{
	{"cgroup_not_own", "no cgroup of their own", "runsc runs with --ignore-cgroups, so only the CPU time and memory of the sandbox's kernel process are known",
		"leave out --ignore-cgroups in the runtime's settings and create the sandboxes again"},
	{"cgroup_shared", "other processes are in their cgroups", "the figures of such a cgroup are not only the sandbox's",
		"move other processes out of the cgroup"},
	{"cgroup_too_large", "too many processes in their cgroups", "there are too many to check whose they are", "no change is needed, unless the workload should have fewer processes"},
	{"cgroup_unreachable", "their cgroups are not visible here", "no mount of cgroups has them, as in another cgroup namespace",
		"mount the host's /sys/fs/cgroup, read-only, and use the host's cgroup namespace"},
	{"cgroup_unreadable", "their cgroups are not readable", "reading failed", "run as root, and mount the host's /sys/fs/cgroup, read-only"},
	{"cgroup_controller_missing", "their cgroups lack a controller", "CPU, memory or tasks are not counted in cgroups without it",
		"turn on the controllers cpu, memory and pids for the parent cgroup"},
	{"identity_unproven", "their processes are not known", "nothing is measured before a connection to the control socket shows which process listens",
		"run as root; if the sandboxes have no metrics either, see why"},
	{"network_unreadable", "their networks are not measured", "reading a process's network namespace takes user root, or CAP_SYS_PTRACE",
		"run as root, or add CAP_SYS_PTRACE"},
	{"sentry_unreadable", "their kernel processes are not measured", "reading a process's memory files takes user root, or CAP_SYS_PTRACE",
		"run as root, or add CAP_SYS_PTRACE"},
}

var usageCheck = Check{"usage", usageCauses(), judgeUsage}

// judgeUsage judges which figures of the host are absent.
func judgeUsage(o *Observed) (string, []Finding) {
	var g groups
	for _, a := range absences {
		for _, s := range o.running() {
			if slices.Contains(s.UsageAbsent, a.reason) {
				g.add(s, Cause{a.reason, Warning}.finding(a.what, a.why, a.change))
			}
		}
	}
	findings := g.findings()
	if len(findings) > 0 {
		return "some figures of the host are missing", findings
	}
	if len(o.running()) == 0 {
		return "no sandbox is running", nil
	}
	return "CPU and memory of all sandboxes are measured", nil
}

func usageCauses() []Cause {
	var causes []Cause
	for _, a := range absences {
		causes = append(causes, Cause{a.reason, Warning})
	}
	return causes
}
