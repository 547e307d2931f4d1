package doctor

import "slices"

// The causes of PID namespaces.
var (
	otherNamespace = Cause{"other_pid_namespace", Problem}
	notInitial     = Cause{"pid_namespace_not_initial", Warning}
)

// initialNamespace is the inode of the host's PID namespace, which the kernel fixes.
const initialNamespace = 0xEFFFFFFC

var namespaceCheck = Check{"pid_namespace", []Cause{otherNamespace, notInitial}, judgeNamespaces}

// judgeNamespaces judges whether this program and servers see the processes of sandboxes.
func judgeNamespaces(o *Observed) (string, []Finding) {
	const change = "run in the host's PID namespace: hostPID: true in Kubernetes, --pid=host in Docker"
	var findings []Finding
	var elsewhere []*Sandbox
	for _, s := range o.running() {
		if slices.Contains(s.UsageAbsent, "pid_namespace") {
			elsewhere = append(elsewhere, s)
		}
	}
	if n := len(elsewhere); n > 0 {
		findings = append(findings, otherNamespace.finding(count(n, "sandbox")+": in another PID namespace than this command",
			"the process that listens on the control socket has no PID here, so its end and its resource usage cannot be seen", change).of(elsewhere...))
	}
	for _, s := range o.Relevant() {
		p := &s.Process
		isHere := func(sandbox *Sandbox) bool { return s.serves(sandbox) && !slices.Contains(elsewhere, sandbox) }
		if p.Known && p.PIDNamespace != 0 && p.PIDNamespace != o.Self.PIDNamespace && slices.ContainsFunc(o.running(), isHere) {
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
}
