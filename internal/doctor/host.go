package doctor

import (
	"fmt"
	"strings"
)

// The causes of permissions, namespaces and limits.
var (
	cannotQuery   = Cause{"cannot_query", Warning}
	cannotMeasure = Cause{"cannot_measure", Warning}

	otherNamespace = Cause{"other_pid_namespace", Problem}
	notInitial     = Cause{"pid_namespace_not_initial", Warning}

	lowFileLimit = Cause{"low_file_limit", Warning}

	noInotifyInstance = Cause{"inotify_instances", Warning}
	noInotifyWatch    = Cause{"inotify_watches", Warning}
)

// processes calls f with this program and with each server whose process is known. who is for texts.
func (o *Observed) processes(f func(p *Process, who, place string)) {
	f(&o.Self, "this command", process(o.Self.PID))
	for _, s := range o.Relevant() {
		if s.Process.Known {
			f(&s.Process, "the server", s.name())
		}
	}
}

var permissionsCheck = Check{"permissions", []Cause{cannotQuery, cannotMeasure}, func(o *Observed) (string, []Finding) {
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
}}

// initialNamespace is the inode of the host's PID namespace, which the kernel fixes.
const initialNamespace = 0xEFFFFFFC

var namespaceCheck = Check{"pid_namespace", []Cause{otherNamespace, notInitial}, func(o *Observed) (string, []Finding) {
	const change = "run in the host's PID namespace: hostPID: true in Kubernetes, --pid=host in Docker"
	var findings []Finding
	var elsewhere []*Sandbox
	for _, s := range o.running() {
		for _, reason := range s.UsageAbsent {
			if reason == "pid_namespace" {
				elsewhere = append(elsewhere, s)
			}
		}
	}
	if n := len(elsewhere); n > 0 {
		findings = append(findings, otherNamespace.finding(count(n, "sandbox")+": in another PID namespace than this command",
			"the process that listens on the control socket has no PID here, so its end and its resource usage cannot be seen", change).of(elsewhere...))
	}
	for _, s := range o.Relevant() {
		p := &s.Process
		if p.Known && p.PIDNamespace != 0 && p.PIDNamespace != o.Self.PIDNamespace && len(o.running()) > len(elsewhere) {
			findings = append(findings, otherNamespace.finding("a server is in another PID namespace than the sandboxes",
				"it cannot see when sandboxes end, nor what they use", change).at(s.name()))
		}
	}
	switch initial := o.Self.PIDNamespace == initialNamespace; {
	case len(findings) > 0:
		return "sandboxes are in another PID namespace", findings
	case !initial && o.Self.PIDNamespace != 0 && len(o.running()) == 0:
		return "not the host's PID namespace", append(findings, notInitial.finding("this command is not in the host's PID namespace",
			"sandboxes outside of it could not be watched, and none is running to tell", change))
	case initial:
		return "the host's PID namespace", findings
	}
	return "the PID namespace of the sandboxes", findings
}}

// Descriptors that a server needs besides pidfds, which may use half of the limit: 256 for queries in
// flight, and the rest for clients and files.
const (
	otherFiles = 512
	perSandbox = 2
)

var descriptorsCheck = Check{"file_descriptors", []Cause{lowFileLimit}, func(o *Observed) (string, []Finding) {
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
}}

// roundUp returns the next power of two from 1024 on.
func roundUp(n uint64) uint64 {
	limit := uint64(1024)
	for limit < n {
		limit *= 2
	}
	return limit
}

var inotifyCheck = Check{"inotify", []Cause{noInotifyInstance, noInotifyWatch}, func(o *Observed) (string, []Finding) {
	const why = "new and ended sandboxes are then noticed once per minute only, so short lives have no first and last values: "
	var findings []Finding
	raise := func(name string, now, least int) string {
		return fmt.Sprintf("sysctl -w %s=%d, and the same line in a file of /etc/sysctl.d", name, max(2*now, least))
	}
	i := &o.Inotify
	if i.Instances != "" {
		findings = append(findings, noInotifyInstance.finding("this user cannot make another inotify instance", why+i.Instances,
			raise("fs.inotify.max_user_instances", i.MaxInstances, 128)))
	}
	if i.Watches != "" {
		findings = append(findings, noInotifyWatch.finding("this user cannot watch the runtime roots", why+i.Watches,
			raise("fs.inotify.max_user_watches", i.MaxWatches, 8192)))
	}
	if len(findings) > 0 {
		return "inotify is exhausted", findings
	}
	return "the runtime roots can be watched", nil
}}

// absences say why figures about sandboxes are absent, by the reasons of
// sandmeter_sandbox_usage_absent.
var absences = []struct{ reason, what, why, change string }{
	{"cgroup_not_own", "no cgroup of their own", "runsc runs with --ignore-cgroups, so only the CPU time and memory of the sandbox's kernel process are known",
		"leave out --ignore-cgroups in the runtime's settings and create the sandboxes again"},
	{"cgroup_shared", "other processes are in their cgroups", "the figures of such a cgroup are not only the sandbox's",
		"move other processes out of the cgroup"},
	{"cgroup_too_large", "too many processes in their cgroups", "there are too many to check whose they are", "nothing, unless the workload should have fewer processes"},
	{"cgroup_unreachable", "their cgroups are not visible here", "no mount of cgroups has them, as in another cgroup namespace",
		"mount the host's /sys/fs/cgroup, read-only, and use the host's cgroup namespace"},
	{"cgroup_unreadable", "their cgroups are not readable", "reading failed", "run as root, and mount the host's /sys/fs/cgroup, read-only"},
	{"cgroup_controller_missing", "their cgroups lack a controller", "CPU, memory or tasks are not counted in cgroups without it",
		"turn on the controllers cpu, memory and pids for the parent cgroup"},
	{"network_unreadable", "their networks are not measured", "reading a process's network namespace takes user root, or CAP_SYS_PTRACE",
		"run as root, or add CAP_SYS_PTRACE"},
	{"sentry_unreadable", "their kernel processes are not measured", "reading a process's memory files takes user root, or CAP_SYS_PTRACE",
		"run as root, or add CAP_SYS_PTRACE"},
}

var usageCheck = Check{"usage", usageCauses(), func(o *Observed) (string, []Finding) {
	var g groups
	for _, a := range absences {
		for _, s := range o.running() {
			for _, reason := range s.UsageAbsent {
				if reason == a.reason {
					g.add(s, Cause{a.reason, Warning}.finding(a.what, a.why, a.change))
				}
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
}}

func usageCauses() []Cause {
	var causes []Cause
	for _, a := range absences {
		causes = append(causes, Cause{a.reason, Warning})
	}
	return causes
}

// completeness is about this examination itself.
var incomplete = Cause{"incomplete", Warning}

var completenessCheck = Check{"completeness", []Cause{incomplete}, func(o *Observed) (string, []Finding) {
	if len(o.Incomplete) == 0 {
		return "everything was examined", nil
	}
	return "not everything was examined", []Finding{incomplete.finding("a part of this examination is missing", strings.Join(o.Incomplete, "; "),
		"run this command as root, and again if it ran out of time")}
}}
