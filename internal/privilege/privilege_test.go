package privilege_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// TestDropNetAdmin runs a program that is built without cgo, because test programs with the race
// detector have it.
func TestDropNetAdmin(t *testing.T) {
	if os.Getuid() != 0 {
		runsctest.Unavailable(t, errors.New("only root can give a process capabilities"))
	}
	program := build(t)
	check := func(name string, has []uintptr, want string) {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: has}
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			threads := strings.Split(strings.TrimSpace(string(out)), "\n")
			if err != nil || len(threads) < 6 {
				t.Fatalf("%v, %s\n%s", err, errs.String(), out)
			}
			for _, sets := range threads {
				if sets != want {
					t.Errorf("a thread has %q, want %q", sets, want)
				}
			}
		})
	}
	const none = "CapInh= CapPrm= CapEff= CapAmb="
	check("no capability", nil, none)
	check("only CAP_NET_ADMIN", []uintptr{unix.CAP_NET_ADMIN}, none)
	check("others stay", []uintptr{unix.CAP_NET_ADMIN, unix.CAP_DAC_OVERRIDE, unix.CAP_SYSLOG}, "CapInh=400000002 CapPrm=400000002 CapEff=400000002 CapAmb=400000002")
	check("only others", []uintptr{unix.CAP_DAC_OVERRIDE}, "CapInh=2 CapPrm=2 CapEff=2 CapAmb=2")
}

// build builds the program, where every user can run it.
func build(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "privilege")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "drop")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./testdata/drop")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
