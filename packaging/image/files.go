package main

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/sandmeter/sandmeter/packaging/archive"
)

// A file is a tar file with an image layout.
type file struct {
	name    string
	digest  v1.Hash // of the image or index in it
	content []byte
}

// files returns a file per architecture, and one with the images of all of them.
func (r release) files() ([]file, error) {
	var files []file
	var images []v1.Image
	for _, p := range r.programs {
		image, err := r.image(p)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", p.arch, err)
		}
		manifest, err := dockerManifest(image, r.reference())
		if err != nil {
			return nil, err
		}
		f, err := r.file(fmt.Sprintf("sandmeter-%s-%s.oci.tar", r.version, p.arch), image, manifest)
		if err != nil {
			return nil, err
		}
		files, images = append(files, f), append(images, image)
	}
	f, err := r.file(fmt.Sprintf("sandmeter-%s.oci.tar", r.version), r.index(images))
	return append(files, f), err
}

// file returns a file with an image or index, and additional entries.
func (r release) file(name string, root partial.Describable, more ...archive.File) (file, error) {
	files, err := layoutOf(root, r.reference())
	if err != nil {
		return file{}, err
	}
	digest, err := root.Digest()
	if err != nil {
		return file{}, err
	}
	content, err := archive.Tar(r.created, append(files, more...))
	return file{name, digest, content}, err
}
