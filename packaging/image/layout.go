package main

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// blobs has the contents of an image layout by path.
type blobs map[string][]byte

// blobPath returns the path of a blob in an image layout.
func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// addImage adds the manifest, the configuration and the layers of an image.
func (b blobs) addImage(image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		if b[blobPath(digest)], err = io.ReadAll(content); err != nil {
			return err
		}
	}
	digest, err := image.ConfigName()
	if err != nil {
		return err
	}
	if b[blobPath(digest)], err = image.RawConfigFile(); err != nil {
		return err
	}
	return b.addManifest(image)
}

// addManifest adds a manifest or an index, without what it refers to.
func (b blobs) addManifest(m partial.Describable) error {
	digest, err := m.Digest()
	if err != nil {
		return err
	}
	b[blobPath(digest)], err = m.(partial.WithRawManifest).RawManifest()
	return err
}

// layout returns the files of an image layout that has one image or index, with this reference.
func (b blobs) layout(root partial.Describable, reference string) ([]entry, error) {
	descriptor, err := partial.Descriptor(root)
	if err != nil {
		return nil, err
	}
	tag := reference[strings.LastIndex(reference, ":")+1:]
	descriptor.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": tag,
		// What containerd calls the image: the reference in full.
		"io.containerd.image.name": full(reference),
	}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{*descriptor}})
	if err != nil {
		return nil, err
	}
	files := []entry{{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", 0o644, index}}
	for _, path := range slices.Sorted(maps.Keys(b)) {
		files = append(files, entry{path, 0o644, b[path]})
	}
	return files, nil
}

// dockerManifest returns the file that makes `docker load` of releases before 25.0, which do not
// know image layouts, find an image in one.
func dockerManifest(image v1.Image, reference string) (entry, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return entry{}, err
	}
	type saved struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	this := saved{Config: blobPath(manifest.Config.Digest), RepoTags: []string{reference}}
	for _, layer := range manifest.Layers {
		this.Layers = append(this.Layers, blobPath(layer.Digest))
	}
	content, err := json.Marshal([]saved{this})
	return entry{"manifest.json", 0o644, content}, err
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
