package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Configuration files of container runtimes. runscConfig is the file that gVisor's documentation
// uses; a containerd configuration may name others.
const (
	dockerConfig     = "/etc/docker/daemon.json"
	containerdConfig = "/etc/containerd/config.toml"
	runscConfig      = "/etc/containerd/runsc.toml"
)

// runtimeType is the runtime type of gVisor's shim in the configurations of Docker and containerd.
const runtimeType = "io.containerd.runsc.v1"

// programName is the name of the program in PATH, and the default of the shim.
const programName = "runsc"

// maxConfig limits the size of a configuration file.
const maxConfig = 1 << 20

// find returns the paths of the programs that may be runsc on a host: those of the runtimes in
// Docker's and containerd's configurations, and those in the directories of path, which has the
// form of $PATH. The root directory of the host is root. Files that are missing count as empty; the
// error is about others that could not be read.
func find(root, path string) ([]string, error) {
	f := finder{root: root}
	f.docker()
	f.containerd()
	f.add(programName)
	var programs []string
	for _, name := range f.names {
		programs = append(programs, resolve(root, name, path)...)
	}
	return uniq(programs), errors.Join(f.errs...)
}

// resolve returns the absolute paths that a program name stands for. Relative paths and relative
// directories of path stand for nothing: they would depend on the directory of this process.
func resolve(root, name, path string) []string {
	switch {
	case filepath.IsAbs(name):
		return []string{filepath.Join(root, name)}
	case strings.Contains(name, "/") || name == "":
		return nil
	}
	var found []string
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(root, dir, name)
		if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() {
			found = append(found, file)
		}
	}
	return found
}

// A finder collects the names of programs from configuration files.
type finder struct {
	root  string
	names []string
	errs  []error
}

func (f *finder) add(names ...string) { f.names = append(f.names, names...) }

// options are those of a runtime with gVisor's shim. ConfigPath names a file with a shimConfig.
type options struct{ ConfigPath string }

// shimConfig is the relevant part of a configuration of gVisor's shim.
type shimConfig struct {
	BinaryName string `toml:"binary_name"`
}

// docker adds the programs of the runtimes in Docker's configuration.
func (f *finder) docker() {
	var config struct {
		Runtimes map[string]struct {
			Path        string  `json:"path"`
			RuntimeType string  `json:"runtimeType"`
			Options     options `json:"options"`
		} `json:"runtimes"`
	}
	f.read(dockerConfig, json.Unmarshal, &config)
	for _, name := range slices.Sorted(maps.Keys(config.Runtimes)) {
		runtime := config.Runtimes[name]
		f.add(runtime.Path)
		if runtime.RuntimeType == runtimeType {
			f.shim(runtime.Options.ConfigPath)
		}
	}
}

// containerd adds the programs of the shim's configurations that containerd's configuration names.
func (f *finder) containerd() {
	var config map[string]any
	f.read(containerdConfig, toml.Unmarshal, &config)
	f.tables(config)
	f.shim(runscConfig)
}

// tables finds the runtimes with gVisor's shim in a table of containerd's configuration. Where
// they are in it depends on containerd's version, so all tables are searched.
func (f *finder) tables(table map[string]any) {
	if table["runtime_type"] == runtimeType {
		if o, ok := table["options"].(map[string]any); ok {
			config, _ := o["ConfigPath"].(string)
			f.shim(config)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if inner, ok := table[name].(map[string]any); ok {
			f.tables(inner)
		}
	}
}

// shim adds the program of a configuration of gVisor's shim.
func (f *finder) shim(path string) {
	if !filepath.IsAbs(path) {
		return
	}
	var config shimConfig
	f.read(path, toml.Unmarshal, &config)
	f.add(config.BinaryName)
}

// read reads a configuration file below the root. If it does not exist, config stays as it is.
func (f *finder) read(path string, unmarshal func([]byte, any) error, config any) {
	data, err := readFile(filepath.Join(f.root, path), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		if err = unmarshal(data, config); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

// readFile reads a regular file of up to limit bytes. It does not wait for the writer of a pipe.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("more than %d bytes", limit)}
	}
	return data, err
}

// uniq returns the texts without those that repeat earlier ones.
func uniq(texts []string) []string {
	var list []string
	for _, t := range texts {
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}
