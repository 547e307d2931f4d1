package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// filtersOf returns the system call filters of a unit. A call is permitted if all of them permit it.
func filtersOf(u unit) ([]seccomp.Policy, error) {
	if value, _ := u.last("SystemCallArchitectures"); value != "native" {
		return nil, fmt.Errorf("SystemCallArchitectures=%s: only native is supported", value)
	}
	if value, _ := u.last("SystemCallErrorNumber"); value != "EPERM" {
		return nil, fmt.Errorf("SystemCallErrorNumber=%s: only EPERM is supported", value)
	}
	calls, err := permittedCalls(u.all("SystemCallFilter"))
	if err != nil {
		return nil, err
	}
	native, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	var denied []denial
	for _, rule := range denials {
		if u.is(rule.setting) {
			denied = append(denied, rule)
		}
	}
	families, err := otherFamilies(u)
	if err != nil {
		return nil, err
	}
	filters := []seccomp.Policy{families}
	for _, d := range denied {
		if p, ok := d.policy(native); ok {
			filters = append(filters, p)
		}
	}
	// The last one: it permits no more filters.
	calls = slices.DeleteFunc(calls, func(name string) bool { _, ok := native.SyscallNames[name]; return !ok })
	return append(filters, seccomp.Policy{DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{{Names: calls, Action: seccomp.ActionAllow}}}), nil
}

// loadFilters loads filters for this thread.
func loadFilters(filters []seccomp.Policy) error {
	for _, p := range filters {
		if err := seccomp.LoadFilter(seccomp.Filter{Policy: p}); err != nil {
			return err
		}
	}
	return nil
}

// permittedCalls returns the system calls that SystemCallFilter= permits: the lines add calls and
// groups or, with a tilde, remove them.
func permittedCalls(lines []string) ([]string, error) {
	calls, err := expand("@default") // systemd always permits it
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		line, remove := strings.CutPrefix(line, "~")
		for _, name := range strings.Fields(line) {
			named, err := expand(name)
			if err != nil {
				return nil, err
			}
			if remove {
				calls = slices.DeleteFunc(calls, func(call string) bool { return slices.Contains(named, call) })
			} else {
				calls = append(calls, named...)
			}
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls), nil
}

// expand returns the system calls of a group, or the call itself.
func expand(name string) ([]string, error) {
	if !strings.HasPrefix(name, "@") {
		return []string{name}, nil
	}
	out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter", name).Output()
	if err != nil {
		return nil, fmt.Errorf("systemd-analyze syscall-filter %s: %w", name, err)
	}
	var calls []string
	for _, line := range strings.Split(string(out), "\n")[1:] {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		more, err := expand(line)
		if err != nil {
			return nil, err
		}
		calls = append(calls, more...)
	}
	return calls, nil
}

// A denial denies system calls with certain arguments because of a setting that is yes.
type denial struct {
	setting string
	calls   []seccomp.NameWithConditions
	names   []string // denied with all arguments
	errno   unix.Errno
}

var denials = []denial{
	{setting: "MemoryDenyWriteExecute", errno: unix.EPERM, calls: []seccomp.NameWithConditions{
		when("mmap", anyOf(2, unix.PROT_WRITE), anyOf(2, unix.PROT_EXEC)),
		when("mprotect", anyOf(2, unix.PROT_EXEC)),
		when("pkey_mprotect", anyOf(2, unix.PROT_EXEC)),
	}},
	{setting: "RestrictNamespaces", errno: unix.EPERM, names: []string{"unshare", "setns"},
		calls: []seccomp.NameWithConditions{when("clone", anyOf(0, namespaces))}},
	// A filter does not see the flags of clone3, so programs are made to use clone.
	{setting: "RestrictNamespaces", errno: unix.ENOSYS, names: []string{"clone3"}},
	{setting: "RestrictSUIDSGID", errno: unix.EPERM, calls: []seccomp.NameWithConditions{
		when("chmod", anyOf(1, setID)), when("fchmod", anyOf(1, setID)), when("fchmodat", anyOf(2, setID)), when("fchmodat2", anyOf(2, setID)),
		when("mkdir", anyOf(1, setID)), when("mkdirat", anyOf(2, setID)), when("mknod", anyOf(1, setID)), when("mknodat", anyOf(2, setID)),
		when("open", anyOf(1, unix.O_CREAT), anyOf(2, setID)), when("openat", anyOf(2, unix.O_CREAT), anyOf(3, setID)),
	}},
	{setting: "RestrictSUIDSGID", errno: unix.ENOSYS, names: []string{"openat2"}},
	{setting: "RestrictRealtime", errno: unix.EPERM, names: []string{"sched_setscheduler", "sched_setattr"}},
	{setting: "LockPersonality", errno: unix.EPERM, calls: []seccomp.NameWithConditions{when("personality", notEqual(0, 0))}},
	{setting: "ProtectClock", errno: unix.EPERM, names: []string{"adjtimex", "clock_adjtime", "clock_settime", "settimeofday"}},
	{setting: "ProtectHostname", errno: unix.EPERM, names: []string{"sethostname", "setdomainname"}},
	{setting: "ProtectKernelLogs", errno: unix.EPERM, names: []string{"syslog"}},
	{setting: "ProtectKernelModules", errno: unix.EPERM, names: []string{"delete_module", "finit_module", "init_module"}},
}

const (
	namespaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS
	setID      = unix.S_ISUID | unix.S_ISGID
)

// policy returns the filter of a denial, unless the architecture has none of the calls.
func (d denial) policy(native *arch.Info) (seccomp.Policy, bool) {
	has := func(name string) bool { _, ok := native.SyscallNames[name]; return ok }
	group := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(d.errno)}
	for _, name := range d.names {
		if has(name) {
			group.Names = append(group.Names, name)
		}
	}
	for _, call := range d.calls {
		if has(call.Name) {
			group.NamesWithCondtions = append(group.NamesWithCondtions, call)
		}
	}
	some := len(group.Names)+len(group.NamesWithCondtions) > 0
	return seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{group}}, some
}

// addressFamilies are those that RestrictAddressFamilies= may name here.
var addressFamilies = map[string]uint64{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK}

// otherFamilies returns the filter that denies sockets of all families but those that are named.
func otherFamilies(u unit) (seccomp.Policy, error) {
	var conditions seccomp.ArgumentConditions
	value, _ := u.last("RestrictAddressFamilies")
	for _, name := range strings.Fields(value) {
		family, ok := addressFamilies[name]
		if !ok {
			return seccomp.Policy{}, fmt.Errorf("RestrictAddressFamilies=%s: %s is not supported", value, name)
		}
		conditions = append(conditions, notEqual(0, family))
	}
	return seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{{
		NamesWithCondtions: []seccomp.NameWithConditions{{Name: "socket", Conditions: conditions}},
		Action:             seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT),
	}}}, nil
}

// when returns a call for which all conditions hold.
func when(call string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: call, Conditions: conditions}
}

// anyOf holds if an argument has one of the bits.
func anyOf(argument uint32, bits uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.BitsSet, Value: bits}
}

func notEqual(argument uint32, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: value}
}
