package observe

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"
	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
)

// statsFromCRI is the feature gate with which kubelet's /metrics/cadvisor has the figures of the
// container runtime (KEP-2371). It was alpha up to Kubernetes 1.34 at least, so AllAlpha turns it
// on too.
const (
	statsFromCRI = "PodAndContainerStatsFromCRI"
	allAlpha     = "AllAlpha"
)

// kubelets reads the settings of kubelets.
func (n *node) kubelets() {
	for _, p := range n.kubeletsFound {
		if uids := n.uids(p.pid); len(uids) == 0 || slices.Max(uids) != 0 {
			continue // not a kubelet, or not one of this node
		}
		n.observed.Kubelets = append(n.observed.Kubelets, n.kubelet(&p))
	}
}

// gates are feature gates and what set them.
type gates map[string]gate

type gate struct {
	on bool
	by string
}

// kubelet reads the settings of a kubelet: of its configuration file, the files in its drop-in
// directory, and its command line, of which later ones win.
func (n *node) kubelet(p *proc) doctor.Kubelet {
	k := doctor.Kubelet{PID: p.pid}
	set := make(gates)
	files := []string{flagValue(p.args, "config")}
	if dir := flagValue(p.args, "config-dir"); dir != "" {
		files = append(files, n.dropIns(p.pid, dir)...)
	}
	for _, file := range files {
		if file == "" {
			continue
		}
		k.File = file
		if err := n.readGates(set, p.pid, file); err != nil {
			k.Err = err.Error()
		}
	}
	for pair := range strings.SplitSeq(flagValue(p.args, "feature-gates"), ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			set[strings.TrimSpace(name)] = gate{strings.EqualFold(strings.TrimSpace(value), "true"), "its command line"}
		}
	}
	own, isSet := set[statsFromCRI]
	switch all := set[allAlpha]; {
	case isSet && own.on:
		k.StatsFromCRI, k.SetBy, k.Err = true, fmt.Sprintf("%s=true in %s", statsFromCRI, own.by), ""
	case !isSet && all.on:
		k.StatsFromCRI, k.SetBy, k.Err = true, fmt.Sprintf("%s=true in %s", allAlpha, all.by), ""
	}
	return k
}

// dropIns returns the configuration files in a directory as a process sees it, sorted.
func (n *node) dropIns(pid int, dir string) []string {
	file, err := n.openInside(pid, dir)
	if err != nil {
		return nil
	}
	defer file.Close()
	names, _ := file.Readdirnames(maxDropIns)
	slices.Sort(names)
	var files []string
	for _, name := range names {
		if strings.HasSuffix(name, ".conf") {
			files = append(files, filepath.Join(dir, name))
		}
	}
	return files
}

// maxDropIns limits the entries of the directory that are looked at.
const maxDropIns = 1000

// openInside opens a path for reading as a process sees it, or in the root directory of the host if
// that of the process is not readable. No link in the path leads out of the root directory.
func (n *node) openInside(pid int, path string) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	root, err := unix.Open(n.proc(pid, "root")+"/.", flags, 0)
	if err != nil {
		root, err = unix.Open(n.HostRoot, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (n *node) readInside(pid int, path string) ([]byte, error) {
	file, err := n.openInside(pid, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRegular(file)
}

// readGates adds the feature gates of a configuration file.
func (n *node) readGates(set gates, pid int, file string) error {
	if !filepath.IsAbs(file) {
		return fmt.Errorf("kubelet's configuration file %s is relative", file)
	}
	data, err := n.readInside(pid, file)
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		return fmt.Errorf("kubelet's configuration file %s: %w", file, err)
	}
	var config struct {
		Gates map[string]bool `yaml:"featureGates"`
	}
	if yaml.Unmarshal(data, &config) != nil { // the error has text of the file, which may be any file
		return fmt.Errorf("kubelet's configuration file %s: it is not YAML, or has feature gates other than true and false", file)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Gates)) {
		set[name] = gate{config.Gates[name], file}
	}
	return nil
}
