package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"sigs.k8s.io/yaml"
)

// metadataFile is the name of the file with the version of a chart.
const metadataFile = "Chart.yaml"

// pack returns the package of the chart in a directory, and its file name. The program's version
// becomes that of the chart, and the tag of the image.
func pack(dir, version string) (name string, content []byte, err error) {
	c, err := loader.Load(dir)
	if err != nil {
		return "", nil, err
	}
	c.Metadata.Version, c.Metadata.AppVersion = chartVersion(version), version
	if err := c.Validate(); err != nil {
		return "", nil, err
	}
	metadata, err := yaml.Marshal(c.Metadata)
	if err != nil {
		return "", nil, err
	}
	files := slices.Clone(c.Raw)
	for i, f := range files {
		if f.Name == metadataFile {
			files[i] = &chart.File{Name: f.Name, Data: metadata}
		}
	}
	slices.SortFunc(files, func(a, b *chart.File) int { return strings.Compare(a.Name, b.Name) })
	content, err = archive(c.Name(), files)
	return fmt.Sprintf("%s-%s.tgz", c.Name(), c.Metadata.Version), content, err
}

// archive returns a compressed tar of files in a directory, without times and owners.
func archive(dir string, files []*chart.File) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, f := range files {
		header := &tar.Header{Name: path.Join(dir, f.Name), Mode: 0o644, Size: int64(len(f.Data)), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := t.Write(f.Data); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

// described matches the output of git describe --tags for a tag of a semantic version: the version
// with its prerelease, and what follows for later commits and changes.
var described = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)[.\d]*)?)(?:-(\d+-g[0-9a-f]+))?(-dirty)?$`)

// unusual matches what the build metadata of a semantic version cannot have.
var unusual = regexp.MustCompile(`[^A-Za-z0-9]+`)

// chartVersion returns the semantic version of the chart for a version of the program. Commits after
// a tag, and checkouts without one, are build metadata.
func chartVersion(version string) string {
	base, build := "0.0.0", version
	if m := described.FindStringSubmatch(version); m != nil {
		base, build = m[1], m[2]+m[3]
	}
	if build = strings.Trim(unusual.ReplaceAllString(build, "."), "."); build == "" {
		return base
	}
	return base + "+" + build
}
