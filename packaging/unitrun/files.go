package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// confineFiles gives this thread a mount namespace with the files that the unit's program may see and
// write. A bind is a directory and a path, separated by a colon: the directory is in the place of the path.
func confineFiles(u unit, visible, binds []string) error {
	home, _ := u.last("ProtectHome")
	if system, _ := u.last("ProtectSystem"); system != "strict" || home != "yes" && home != "read-only" || !u.is("PrivateDevices") {
		return errors.New("only units with ProtectSystem=strict, ProtectHome=yes or read-only, and PrivateDevices=yes are supported")
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	for _, bind := range binds {
		dir, path, _ := strings.Cut(bind, ":")
		if err := unix.Mount(dir, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("-bind %s: %w", bind, err)
		}
	}
	writable, err := makeDirectories(u)
	if err != nil {
		return err
	}
	// Directories and devices that are hidden below are cloned first, and put back.
	kept, err := cloneTrees(visible)
	if err != nil {
		return err
	}
	if err := readOnly("/"); err != nil {
		return err
	}
	for _, dir := range writable {
		if err := setMount(dir, unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}, 0); err != nil {
			return err
		}
	}
	if err := hide(u); err != nil {
		return err
	}
	return putBack(kept)
}

// makeDirectories makes the directories that systemd makes for the unit, mounts for them, and returns
// them.
func makeDirectories(u unit) ([]string, error) {
	var dirs []string
	for name, parent := range map[string]string{"LogsDirectory": "/var/log", "RuntimeDirectory": "/run"} {
		value, ok := u.last(name)
		if !ok {
			continue
		}
		dir, mode := filepath.Join(parent, value), fs.FileMode(u.octal(name+"Mode", 0o755))
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, err
		}
		if err := os.Chmod(dir, mode); err != nil {
			return nil, err
		}
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// readOnly makes a tree read-only, except for /dev and /proc, which have files that programs write.
// In /proc, those of ProtectKernelTunables= are read-only.
func readOnly(root string) error {
	if err := setMount(root, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, unix.AT_RECURSIVE); err != nil {
		return err
	}
	if err := setMount("/proc", unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}, 0); err != nil {
		return err
	}
	for _, path := range []string{"/proc/acpi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/mtrr", "/proc/sys", "/proc/sysrq-trigger"} {
		err := unix.Mount(path, path, "", unix.MS_BIND, "")
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = setMount(path, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, 0)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// hide covers what the unit's program may not see.
func hide(u unit) error {
	if u.is("PrivateTmp") {
		for _, dir := range []string{"/tmp", "/var/tmp"} {
			if err := cover(dir, "mode=1777"); err != nil {
				return err
			}
		}
	}
	var closed []string
	if u.is("ProtectHome") {
		closed = append(closed, "/home", "/root", "/run/user")
	}
	if u.is("ProtectKernelModules") {
		closed = append(closed, "/usr/lib/modules", "/lib/modules")
	}
	for _, dir := range closed {
		if err := cover(dir, "mode=0"); err != nil {
			return err
		}
	}
	if u.is("ProtectKernelLogs") {
		if err := unix.Mount("/dev/null", "/proc/kmsg", "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return privateDevices()
}

// privateDevices leaves only the devices in /dev that every program may use.
func privateDevices() error {
	devices, err := cloneTrees([]string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"})
	if err != nil {
		return err
	}
	if err := cover("/dev", "mode=755"); err != nil {
		return err
	}
	return putBack(devices)
}

// cover mounts an empty file system on a directory, if there is one.
func cover(dir, options string) error {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, options)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("mounting on %s: %w", dir, err)
	}
	return nil
}

// A tree is a clone of a file or directory that is mounted nowhere.
type tree struct {
	path string
	fd   int
	dir  bool
}

func cloneTrees(paths []string) ([]tree, error) {
	var trees []tree
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return nil, fmt.Errorf("cloning %s: %w", path, err)
		}
		trees = append(trees, tree{path, fd, info.IsDir()})
	}
	return trees, nil
}

// putBack mounts trees where they were, read-only unless they are devices.
func putBack(trees []tree) error {
	for _, t := range trees {
		if err := t.makeTarget(); err != nil {
			return err
		}
		if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("putting %s back: %w", t.path, err)
		}
		if t.dir {
			if err := setMount(t.path, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, unix.AT_RECURSIVE); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeTarget makes the file or directory that the tree is mounted on, unless it exists.
func (t tree) makeTarget() error {
	if _, err := os.Stat(t.path); err == nil {
		return nil
	}
	if t.dir {
		return os.MkdirAll(t.path, 0o755)
	}
	f, err := os.Create(t.path)
	if err != nil {
		return err
	}
	return f.Close()
}

// setMount changes attributes of a mount.
func setMount(path string, attr unix.MountAttr, flags uint) error {
	if err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &attr); err != nil {
		return fmt.Errorf("mount attributes of %s: %w", path, err)
	}
	return nil
}
