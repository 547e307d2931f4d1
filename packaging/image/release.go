package main

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	sourceURL = "https://github.com/sandmeter/sandmeter"
	licenses  = "Apache-2.0" // an SPDX expression
)

// A release is what the images of all architectures have in common.
type release struct {
	name     string // repository, possibly with a registry: sandmeter, registry.example.com/sandmeter
	version  string // tag of the image
	revision string // commit; empty if unknown
	created  time.Time
	license  []byte
	programs []server // in the order of the images in the index
}

// A server is the program for one architecture.
type server struct {
	arch       string // as Go names it
	content    []byte
	thirdParty []byte // the licenses of what is linked into it
}

// tagSyntax is what the OCI distribution specification allows.
var tagSyntax = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// check reports what is wrong with a release.
func (r release) check() error {
	var errs []error
	if !tagSyntax.MatchString(r.version) {
		errs = append(errs, fmt.Errorf("-version %q is not a tag of an image", r.version))
	}
	if len(r.programs) == 0 {
		errs = append(errs, errors.New("no programs: give ARCH=DIR"))
	}
	seen := map[string]bool{}
	for _, p := range r.programs {
		if seen[p.arch] {
			errs = append(errs, fmt.Errorf("two programs for %s", p.arch))
		}
		seen[p.arch] = true
	}
	return errors.Join(errs...)
}

// reference returns what the image is called in commands.
func (r release) reference() string { return r.name + ":" + r.version }

// annotations returns the annotations of the index and of each image. They are also the labels of
// each image, which `docker inspect` shows.
func (r release) annotations() map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":         "sandmeter",
		"org.opencontainers.image.description":   "Metric server for gVisor sandboxes",
		"org.opencontainers.image.url":           sourceURL,
		"org.opencontainers.image.source":        sourceURL,
		"org.opencontainers.image.documentation": sourceURL + "#readme",
		"org.opencontainers.image.licenses":      licenses,
		"org.opencontainers.image.version":       r.version,
		"org.opencontainers.image.created":       r.created.Format(time.RFC3339),
	}
	if r.revision != "" {
		all["org.opencontainers.image.revision"] = r.revision
	}
	return all
}

// index returns the image index of images, which are in the order of the programs.
func (r release) index(images []v1.Image) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: r.programs[i].arch}},
		})
	}
	return mutate.Annotations(index, r.annotations()).(v1.ImageIndex)
}
