package main

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// confineHost applies the settings about the process and the host.
func confineHost(u unit) error {
	if u.is("ProtectHostname") {
		if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
			return err
		}
	}
	if value, ok := u.last("LimitNOFILE"); ok {
		limit, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return err
		}
		if err := lowerLimit(limit); err != nil {
			return err
		}
	}
	return setGroups(u)
}

// lowerLimit sets the limit on descriptors, or leaves a lower one that this process may not raise.
func lowerLimit(limit uint64) error {
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit})
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// setGroups gives the process the groups that systemd gives it: that of root, and the unit's.
func setGroups(u unit) error {
	if name, _ := u.last("User"); name != "root" {
		return fmt.Errorf("the unit has User=%s: only root is supported", name)
	}
	gids := []int{0}
	for _, line := range u.all("SupplementaryGroups") {
		for _, name := range strings.Fields(line) {
			group, err := user.LookupGroup(name)
			if err != nil {
				return err
			}
			gid, err := strconv.Atoi(group.Gid)
			if err != nil {
				return err
			}
			gids = append(gids, gid)
		}
	}
	return unix.Setgroups(gids)
}

// dropCapabilities drops all capabilities but those of the unit for good. A program of root has these.
func dropCapabilities(u unit) error {
	kept, ok := map[string]uint32{"": 0, "CAP_NET_ADMIN": 1 << unix.CAP_NET_ADMIN}[strings.Join(u.all("CapabilityBoundingSet"), " ")]
	if ambient, given := u.last("AmbientCapabilities"); !ok || !given || ambient != "" {
		return errors.New("only units with CapabilityBoundingSet=CAP_NET_ADMIN, or none, and without AmbientCapabilities= are supported")
	}
	if !u.is("NoNewPrivileges") {
		return errors.New("only units with NoNewPrivileges=yes are supported")
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	for c := uintptr(0); ; c++ {
		if c < 32 && kept&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // the kernel has no more
			break
		}
		if err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	sets := [2]unix.CapUserData{{Effective: kept, Permitted: kept}}
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0])
}
