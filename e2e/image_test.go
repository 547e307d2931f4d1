package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// writeImage writes the image once, and returns the path of its file.
var writeImage = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Join(filepath.Dir(sandmeter), "image"))
	if err != nil {
		return "", err
	}
	license, err := filepath.Abs("../LICENSE")
	if err != nil {
		return "", err
	}
	input := filepath.Join(dir, "input")
	if err := errors.Join(os.MkdirAll(input, 0o755), os.Symlink(sandmeter, filepath.Join(input, "sandmeter")),
		os.Symlink(license, filepath.Join(input, "third-party-licenses.txt"))); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*ample) // the first time, it builds packaging/image
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "run", "-buildvcs=false", "./image", "-version", "e2e", "-license", license, "-dir", dir,
		runtime.GOARCH+"="+input)
	cmd.Dir = "../packaging"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return filepath.Join(dir, "sandmeter-e2e-"+runtime.GOARCH+".oci.tar"), nil
})
