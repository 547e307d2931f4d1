package main

import (
	"bytes"
	"compress/gzip"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sandmeter/sandmeter/packaging/archive"
	"github.com/sandmeter/sandmeter/packaging/program"
)

// Operators rely on these. packaging/Containerfile has the same, which a test checks.
const (
	// user can do nothing on the host, so a forgotten setting is an error and no risk. To query
	// sandboxes, the server has to be started as root: with `--user 0` or runAsUser: 0, and without
	// any capability.
	user = "65532:65532"
	// listen is the port on all addresses of the container: localhost, the default of the program,
	// is reachable only from inside of it.
	listen = "SANDMETER_WEB_LISTEN_ADDRESS=:19640"
	port   = "19640/tcp"
	// searchPath is what container engines set if an image does not. A runsc that is mounted into one
	// of these directories is found.
	searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// image returns the image of a program.
func (r release) image(p server) (v1.Image, error) {
	layer, err := r.layer(p)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: r.created}, CreatedBy: "packaging/image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", p.arch
	config.Created = v1.Time{Time: r.created}
	config.Config = v1.Config{
		User:         user,
		Env:          []string{searchPath, listen},
		ExposedPorts: map[string]struct{}{port: {}},
		Entrypoint:   []string{"/sandmeter"},
		Cmd:          []string{"serve"},
		WorkingDir:   "/",
		Labels:       r.annotations(),
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, r.annotations()).(v1.Image), nil
}

// layer returns the only layer of an image: the program, and the licenses that have to come with it.
func (r release) layer(p server) (v1.Layer, error) {
	files, err := archive.Tar(r.created, []archive.File{
		{Name: "LICENSE", Mode: 0o644, Content: r.license},
		{Name: program.Name, Mode: 0o755, Content: p.content},
		{Name: program.LicensesName, Mode: 0o644, Content: p.thirdParty},
	})
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}
