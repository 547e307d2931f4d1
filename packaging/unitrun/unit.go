package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A unit has the settings of a unit file, in their order.
type unit []setting

type setting struct{ section, name, value string }

// known lists the settings of [Service] that this program applies or that restrict nothing.
var known = setOf(
	// How a service starts and restarts, and what systemd does after its end.
	"Type", "TimeoutStartSec", "Restart", "RestartSec", "RestartPreventExitStatus", "RemoveIPC",
	// Restricts devices by a cgroup. Without CAP_MKNOD, and with PrivateDevices=, there are none.
	"DevicePolicy",
	"ExecStart", "Environment", "EnvironmentFile", "User", "UMask", "LimitNOFILE",
	"LogsDirectory", "LogsDirectoryMode", "RuntimeDirectory",
	"CapabilityBoundingSet", "AmbientCapabilities", "NoNewPrivileges", "SupplementaryGroups",
	"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts",
	"ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname",
	"LockPersonality", "MemoryDenyWriteExecute", "RestrictRealtime", "RestrictSUIDSGID", "RestrictNamespaces", "RestrictAddressFamilies",
	"SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber",
)

// setOf returns a set.
func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// readUnit reads a unit file, and those that override it (FILE.d/*.conf).
func readUnit(path string) (unit, error) {
	overrides, err := os.ReadDir(path + ".d") // sorted
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	paths := []string{path}
	for _, e := range overrides {
		paths = append(paths, path+".d/"+e.Name())
	}
	var u unit
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		more, err := parseUnit(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		u = append(u, more...)
	}
	return u, nil
}

func parseUnit(data []byte) (unit, error) {
	var u unit
	section := ""
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok || strings.HasSuffix(line, `\`) {
				return nil, fmt.Errorf("line %d is no setting of one line: %s", n, line)
			}
			u = append(u, setting{section, name, value})
		}
	}
	return u, lines.Err()
}

// names returns the names of the settings in a section.
func (u unit) names(section string) []string {
	var names []string
	for _, s := range u {
		if s.section == section && !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

// all returns the values of a repeatable setting. An empty value removes those before it.
func (u unit) all(name string) []string {
	var values []string
	for _, s := range u {
		switch {
		case s.name != name:
		case s.value == "":
			values = nil
		default:
			values = append(values, s.value)
		}
	}
	return values
}

// last returns the value that counts, and whether there is one.
func (u unit) last(name string) (string, bool) {
	for _, s := range slices.Backward(u) {
		if s.name == name {
			return s.value, true
		}
	}
	return "", false
}

// is tells whether a setting is yes.
func (u unit) is(name string) bool {
	value, _ := u.last(name)
	return value == "yes"
}

// octal returns a mode.
func (u unit) octal(name string, otherwise int) int {
	value, _ := u.last(name)
	mode, err := strconv.ParseUint(value, 8, 32)
	if err != nil {
		return otherwise
	}
	return int(mode)
}
