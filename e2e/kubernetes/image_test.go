package kubernetes

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// workloadImage has the program sandlab. It is also the image of pause containers.
const workloadImage = "docker.io/sandmeter/sandlab:test"

// serverImage is the name of the server's image without its tag, which is the version.
const serverImage = "docker.io/library/sandmeter"

// envImage names the environment variable with the path of the server's image, which `make image`
// writes.
const envImage = "SANDMETER_IMAGE"

// importImages gives containerd the images. No registry has them.
func (n *node) importImages() {
	n.t.Helper()
	archive, err := imageArchive(workloadImage, filepath.Join(n.bin, "sandlab"), "/sandlab")
	n.must(err)
	workload := n.file("sandlab.tar")
	n.must(os.WriteFile(workload, archive, 0o600))
	for _, path := range []string{workload, os.Getenv(envImage)} {
		n.until(func() error {
			_, err := n.ctr("images", "import", path)
			return err
		})
	}
}

// ctr runs containerd's client, for the containers and images of Kubernetes.
func (n *node) ctr(args ...string) (string, error) {
	return n.try(nil, n.programs+"/ctr", append([]string{"--namespace", "k8s.io"}, args...)...)
}

// tagServer gives the server's image another tag.
func (n *node) tagServer(tag string) {
	n.t.Helper()
	names, err := n.ctr("images", "list", "--quiet", "name~=^"+serverImage+":")
	n.must(err)
	_, err = n.ctr("images", "tag", strings.TrimSpace(names), serverImage+":"+tag)
	n.must(err)
}

// imageArchive returns an archive, in the format of `docker save`, of an image that has one program.
// As the pause image it has to wait without arguments.
func imageArchive(image, program, path string) ([]byte, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	layer, err := archive(file{path[1:], binary})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": []string{path}, "Cmd": []string{"workload", "idle"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]object{{"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, err
	}
	return archive(file{"layer.tar", layer}, file{"config.json", config}, file{"manifest.json", manifest})
}

// A file of an archive.
type file struct {
	name string
	data []byte
}

func archive(files ...file) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), w.Close()
}
