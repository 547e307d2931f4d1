package main

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
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
	all := blobs{}
	for _, p := range r.programs {
		image, err := r.image(p)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", p.arch, err)
		}
		f, err := r.imageFile(image, p.arch)
		if err != nil {
			return nil, err
		}
		if err := all.addImage(image); err != nil {
			return nil, err
		}
		files, images = append(files, f), append(images, image)
	}
	index := r.index(images)
	if err := all.addManifest(index); err != nil {
		return nil, err
	}
	f, err := r.file(fmt.Sprintf("sandmeter-%s.oci.tar", r.version), index, all)
	return append(files, f), err
}

// imageFile returns the file of one image.
func (r release) imageFile(image v1.Image, arch string) (file, error) {
	one := blobs{}
	if err := one.addImage(image); err != nil {
		return file{}, err
	}
	manifest, err := dockerManifest(image, r.reference())
	if err != nil {
		return file{}, err
	}
	return r.file(fmt.Sprintf("sandmeter-%s-%s.oci.tar", r.version, arch), image, one, manifest)
}

// file returns a file with an image or index, and additional entries.
func (r release) file(name string, root partial.Describable, contents blobs, more ...entry) (file, error) {
	entries, err := contents.layout(root, r.reference())
	if err != nil {
		return file{}, err
	}
	digest, err := root.Digest()
	if err != nil {
		return file{}, err
	}
	content, err := archive(r.created, append(entries, more...))
	return file{name, digest, content}, err
}
