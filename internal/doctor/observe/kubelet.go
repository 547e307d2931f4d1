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
		drops, _ := filepath.Glob(filepath.Join(n.inside(p.pid, dir), "*.conf")) // sorted
		for _, drop := range drops {
			files = append(files, filepath.Join(dir, filepath.Base(drop)))
		}
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

// inside returns a path as a process sees it, or the path itself if that is not readable.
func (n *node) inside(pid int, path string) string {
	if root := n.proc(pid, "root"); readable(root) {
		return filepath.Join(root, path)
	}
	return n.host(path)
}

func readable(dir string) bool {
	_, err := os.Stat(dir + "/.")
	return err == nil
}

// readGates adds the feature gates of a configuration file.
func (n *node) readGates(set gates, pid int, file string) error {
	if !filepath.IsAbs(file) {
		return fmt.Errorf("kubelet's configuration file %s is relative", file)
	}
	data, err := readFile(n.inside(pid, file))
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		return fmt.Errorf("kubelet's configuration file %s: %w", file, err)
	}
	var config struct {
		Gates map[string]bool `yaml:"featureGates"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("kubelet's configuration file %s: %w", file, err)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Gates)) {
		set[name] = gate{config.Gates[name], file}
	}
	return nil
}
