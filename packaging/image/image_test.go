package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/sandmeter/sandmeter/packaging/program"
)

const (
	testVersion  = "1.2.3"
	testRevision = "6ce2e1c8a5a1c3b1e2d3f4051627384950616273"
	testCreated  = "1790000000" // 2026-09-21T14:13:20Z
)

// inputs has the files from which the tests make images.
type inputs struct{ dir string }

func newInputs(t *testing.T) inputs {
	in := inputs{t.TempDir()}
	in.write(t, "LICENSE", []byte("the license"))
	for _, dir := range []string{"amd64", "arm64", "unlicensed"} {
		in.write(t, dir+"/sandmeter", []byte("program for "+dir))
		if dir != "unlicensed" {
			in.write(t, dir+"/third-party-licenses.txt", []byte("licenses for "+dir))
		}
	}
	return in
}

func (in inputs) path(name string) string { return filepath.Join(in.dir, name) }

func (in inputs) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(in.path(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// args returns a command line that writes to a directory, with more arguments at its end.
func (in inputs) args(dir string, more ...string) []string {
	return append([]string{"-version", testVersion, "-revision", testRevision, "-created", testCreated, "-license", in.path("LICENSE"), "-dir", dir}, more...)
}

// build writes the images for both architectures and returns their directory and the output.
func (in inputs) build(t *testing.T) (dir, out string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "dist")
	var b bytes.Buffer
	if err := run(in.args(dir, "amd64="+in.path("amd64"), "arm64="+in.path("arm64")), &b); err != nil {
		t.Fatal(err)
	}
	return dir, b.String()
}

// readTar returns the entries of a tar file.
func readTar(t *testing.T, r io.Reader) (headers []*tar.Header, contents map[string][]byte) {
	t.Helper()
	contents = map[string][]byte{}
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if err == io.EOF {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		if contents[h.Name], err = io.ReadAll(entries); err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
	}
}

// openLayout unpacks a file and returns the index of its image layout.
func openLayout(t *testing.T, path string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", path, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// manifest returns the only manifest of a layout.
func manifest(t *testing.T, index v1.ImageIndex) v1.Descriptor {
	t.Helper()
	all, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Manifests) != 1 {
		t.Fatalf("the layout has %d manifests, want 1", len(all.Manifests))
	}
	return all.Manifests[0]
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%+v, want\n%+v", what, got, want)
	}
}

// wantImage checks everything that an operator sees of an image.
func wantImage(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the platform", config.Platform().String(), "linux/"+arch)
	wantEqual(t, "the time", config.Created.UTC().Format(time.RFC3339), "2026-09-21T14:13:20Z")
	labels := map[string]string{
		"org.opencontainers.image.title":         "sandmeter",
		"org.opencontainers.image.description":   "Metric server for gVisor sandboxes",
		"org.opencontainers.image.url":           "https://github.com/sandmeter/sandmeter",
		"org.opencontainers.image.source":        "https://github.com/sandmeter/sandmeter",
		"org.opencontainers.image.documentation": "https://github.com/sandmeter/sandmeter#readme",
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.version":       testVersion,
		"org.opencontainers.image.revision":      testRevision,
		"org.opencontainers.image.created":       "2026-09-21T14:13:20Z",
	}
	wantEqual(t, "the configuration", config.Config, v1.Config{
		User:         "65532:65532",
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SANDMETER_WEB_LISTEN_ADDRESS=:19640"},
		ExposedPorts: map[string]struct{}{"19640/tcp": {}},
		Entrypoint:   []string{"/sandmeter"},
		Cmd:          []string{"serve"},
		WorkingDir:   "/",
		Labels:       labels,
	})
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the annotations", m.Annotations, labels)
	wantEqual(t, "the type", string(m.MediaType), "application/vnd.oci.image.manifest.v1+json")
	wantEqual(t, "the type of the layer", string(m.Layers[0].MediaType), "application/vnd.oci.image.layer.v1.tar+gzip")
	wantEqual(t, "the type of the configuration", string(m.Config.MediaType), "application/vnd.oci.image.config.v1+json")
}

// wantLayer checks that an image has the program of a directory and the licenses, and nothing else.
func wantLayer(t *testing.T, image v1.Image, dir string) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 1 {
		t.Fatalf("the image has %d layers", len(layers))
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	headers, files := readTar(t, content)
	var lines []string
	for _, h := range headers {
		lines = append(lines, h.FileInfo().Mode().String()+" "+h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 1790000000 {
			t.Errorf("%s has user %d, group %d, time %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
	}
	wantEqual(t, "the file system", lines, []string{"-rw-r--r-- LICENSE", "-rwxr-xr-x sandmeter", "-rw-r--r-- third-party-licenses.txt"})
	wantEqual(t, "the license", string(files["LICENSE"]), "the license")
	wantEqual(t, "the licenses of others", string(files["third-party-licenses.txt"]), "licenses for "+filepath.Base(dir))
	want, err := os.ReadFile(filepath.Join(dir, "sandmeter"))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the program", files["sandmeter"], want)
}

func TestFiles(t *testing.T) {
	in := newInputs(t)
	dir, out := in.build(t)
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			path := filepath.Join(dir, "sandmeter-"+testVersion+"-"+arch+".oci.tar")
			index := openLayout(t, path)
			m := manifest(t, index)
			wantEqual(t, "the reference", m.Annotations, map[string]string{
				"org.opencontainers.image.ref.name": testVersion,
				"io.containerd.image.name":          "docker.io/library/sandmeter:" + testVersion,
			})
			image, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			wantImage(t, image, arch)
			wantLayer(t, image, in.path(arch))
			if line := path + " sandmeter:" + testVersion + "@" + m.Digest.String() + "\n"; !strings.Contains(out, line) {
				t.Errorf("the output is\n%swithout\n%s", out, line)
			}
		})
	}
}

// TestAllArchitectures: one file has the images of the other files.
func TestAllArchitectures(t *testing.T) {
	dir, _ := newInputs(t).build(t)
	outer := openLayout(t, filepath.Join(dir, "sandmeter-"+testVersion+".oci.tar"))
	index, err := outer.ImageIndex(manifest(t, outer).Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	all, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the version", all.Annotations["org.opencontainers.image.version"], testVersion)
	var platforms []string
	for _, m := range all.Manifests {
		platforms = append(platforms, m.Platform.String())
		single := openLayout(t, filepath.Join(dir, "sandmeter-"+testVersion+"-"+m.Platform.Architecture+".oci.tar"))
		wantEqual(t, "the image for "+m.Platform.String(), m.Digest, manifest(t, single).Digest)
	}
	wantEqual(t, "the platforms", platforms, []string{"linux/amd64", "linux/arm64"})
}

// TestDockerLoad: the file of one image is also an archive of `docker save`.
func TestDockerLoad(t *testing.T) {
	in := newInputs(t)
	dir, _ := in.build(t)
	path := filepath.Join(dir, "sandmeter-"+testVersion+"-amd64.oci.tar")
	saved, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLayer(t, saved, in.path("amd64"))
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the tags", manifest[0].RepoTags, []string{"sandmeter:" + testVersion})
}

// TestReproducible: the same input has the same bytes, whenever and wherever it is built.
func TestReproducible(t *testing.T) {
	in := newInputs(t)
	one, _ := in.build(t)
	later := time.Now().Add(time.Hour)
	for _, name := range []string{"LICENSE", "amd64/sandmeter", "arm64/sandmeter", "arm64/third-party-licenses.txt"} {
		if err := os.Chtimes(in.path(name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	two, _ := in.build(t)
	for _, name := range []string{"-amd64", "-arm64", ""} {
		name = "sandmeter-" + testVersion + name + ".oci.tar"
		a, errA := os.ReadFile(filepath.Join(one, name))
		b, errB := os.ReadFile(filepath.Join(two, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %v, %v", name, errA, errB)
		}
	}
}

func TestErrors(t *testing.T) {
	in := newInputs(t)
	refused := func(name, want string, args ...string) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dist")
			err := run(in.args(dir, args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %q", err, want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("there is a directory with images")
			}
		})
	}
	amd64 := "amd64=" + in.path("amd64")
	refused("no program", "no programs: give ARCH=DIR")
	refused("no architecture", `"amd64" is not ARCH=DIR`, "amd64")
	refused("no program file", "sandmeter: no such file", "amd64="+in.path("none"))
	refused("twice", "two programs for amd64", amd64, amd64)
	refused("bad version", `-version "1+2" is not a tag`, "-version", "1+2", amd64)
	refused("no version", `-version "" is not a tag`, "-version", "", amd64)
	refused("no licenses of others", "third-party-licenses.txt: no such file", "amd64="+in.path("unlicensed"))
	refused("no license", "-license: ", "-license", in.path("none"), amd64)
}

func TestFullReference(t *testing.T) {
	for reference, want := range map[string]string{
		"sandmeter:1":                      "docker.io/library/sandmeter:1",
		"example/sandmeter:1":              "docker.io/example/sandmeter:1",
		"registry.example.com/sandmeter:1": "registry.example.com/sandmeter:1",
		"registry:5000/a/sandmeter:1":      "registry:5000/a/sandmeter:1",
		"localhost/sandmeter:1":            "localhost/sandmeter:1",
	} {
		wantEqual(t, reference, full(reference), want)
	}
}

// TestContainerfile: an image that is built from the Containerfile is configured like ours.
func TestContainerfile(t *testing.T) {
	content, err := os.ReadFile("../Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, final, ok := strings.Cut(string(content), "FROM scratch\n")
	if !ok {
		t.Fatal("the last stage is not FROM scratch")
	}
	command := func(words ...string) string {
		text, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), `","`, `", "`)
	}
	lines := []string{
		"USER " + user, "ENV " + searchPath, "ENV " + listen, "EXPOSE " + port,
		"ENTRYPOINT " + command("/sandmeter"), "CMD " + command("serve"),
	}
	for _, name := range []string{"LICENSE", program.Name, program.LicensesName} {
		if !strings.Contains(final, "\nCOPY --from=build ") || !strings.Contains(final, " /"+name+"\n") {
			t.Errorf("Containerfile copies no /%s", name)
		}
	}
	for _, line := range lines {
		if !slices.Contains(strings.Split(final, "\n"), line) {
			t.Errorf("Containerfile has no line %s", line)
		}
	}
	labels := release{version: "${VERSION}", revision: "${REVISION}"}.annotations()
	labels["org.opencontainers.image.created"] = "${CREATED}"
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if want := key + `="` + labels[key] + `"`; !strings.Contains(final, want) {
			t.Errorf("Containerfile has no label %s", want)
		}
	}
}
