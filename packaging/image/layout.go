package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/sandmeter/sandmeter/packaging/archive"
)

// layoutOf returns the files of an image layout that has one image or index, with this reference.
func layoutOf(root partial.Describable, reference string) (files []archive.File, err error) {
	dir, err := os.MkdirTemp("", "sandmeter-image-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return nil, err
	}
	annotations := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": reference[strings.LastIndex(reference, ":")+1:],
		// What containerd calls the image: the reference in full.
		"io.containerd.image.name": full(reference),
	})
	if image, ok := root.(v1.Image); ok {
		err = path.AppendImage(image, annotations)
	} else {
		err = path.AppendIndex(root.(v1.ImageIndex), annotations)
	}
	if err != nil {
		return nil, err
	}
	files, err = archive.ReadDir(dir)
	for i := range files {
		files[i].Mode = 0o644 // whatever the umask is
	}
	return files, err
}

// dockerManifest returns the file that makes `docker load` of releases before 25.0, which do not
// know image layouts, find an image in one.
func dockerManifest(image v1.Image, reference string) (archive.File, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return archive.File{}, err
	}
	type saved struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	blob := func(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }
	this := saved{Config: blob(manifest.Config.Digest), RepoTags: []string{reference}}
	for _, layer := range manifest.Layers {
		this.Layers = append(this.Layers, blob(layer.Digest))
	}
	content, err := json.Marshal([]saved{this})
	return archive.File{Name: "manifest.json", Mode: 0o644, Content: content}, err
}

// full returns a reference with the registry and the directory that Docker and containerd take when
// there are none: sandmeter:1 is docker.io/library/sandmeter:1.
func full(reference string) string {
	registry, _, hasDir := strings.Cut(reference, "/")
	switch {
	case !hasDir:
		return "docker.io/library/" + reference
	case strings.ContainsAny(registry, ".:") || registry == "localhost":
		return reference
	default:
		return "docker.io/" + reference
	}
}
