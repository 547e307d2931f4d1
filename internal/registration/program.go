package registration

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/trust"
)

// Limits of one run of runsc, which takes 20 ms and writes 95 KB.
const (
	runTimeout = 10 * time.Second
	maxOutput  = 4 << 20
	maxError   = 512             // bytes of standard error that become part of an error
	pipeGrace  = time.Second     // for processes that runsc left behind and that hold its output open
	versionHas = "runsc version" // the beginning of the output of `runsc --version`
	modulePath = "gvisor.dev/gvisor/runsc"
)

// A program is an open file that may be run.
type program struct {
	path string
	file *os.File // opened with O_PATH: what was checked is what runs
	id   host.File
}

// open opens a program and checks that only root and the server's user can change it. The caller
// closes it.
func open(path string) (*program, error) {
	if !filepath.IsAbs(path) {
		return nil, &fs.PathError{Op: "run", Path: path, Err: errors.New("the path is not absolute")}
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "run", Path: path, Err: err}
	}
	p := &program{path: path, file: os.NewFile(uintptr(fd), path)}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = mayRun(&st, os.Geteuid())
	}
	if err != nil {
		p.close()
		return nil, &fs.PathError{Op: "run", Path: path, Err: err}
	}
	p.id = fileOf(&st)
	return p, nil
}

func (p *program) close() { _ = p.file.Close() }

// mayRun returns why a server of the user must not run a file, or nil.
func mayRun(st *unix.Stat_t, user int) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("not a regular file")
	case st.Uid != 0 && int(st.Uid) != user:
		return fmt.Errorf("it belongs to user %d: it has to belong to root or to the user of the server", st.Uid)
	case st.Mode&0o022 != 0:
		return errors.New("its group or others may write it")
	case st.Mode&0o111 == 0:
		return errors.New("not executable")
	}
	return nil
}

// registration asks the program for its registration.
func (p *program) registration(ctx context.Context) (*state.Registration, error) {
	out, err := p.run(ctx, "metric-metadata")
	if err != nil {
		return nil, err
	}
	r, err := Parse(out)
	if err != nil {
		return nil, fmt.Errorf("%s metric-metadata: %w", p.path, err)
	}
	return r, nil
}

// release asks the program for its release. The parts that are unknown are empty.
func (p *program) release(ctx context.Context) (Release, error) {
	out, err := p.run(ctx, "--version")
	if err != nil {
		return Release{}, err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	version, isRunsc := strings.CutPrefix(line, versionHas)
	if !isRunsc {
		return Release{}, fmt.Errorf("%s --version does not begin with %q", p.path, versionHas)
	}
	r := Release{Version: strings.TrimSpace(version)}
	if info, err := buildinfo.ReadFile(p.descriptor()); err == nil {
		for _, s := range info.Settings {
			if s.Key == "GOARCH" {
				r.Go, r.Arch = info.GoVersion, s.Value
			}
		}
	}
	return r, nil
}

// mayBeRunsc reports whether the program may be runsc, so that it may run to tell: it is a binary
// with the word in its name, or was built from runsc's source. A script may execute anything, and
// a wrapper such as nvidia-container-runtime is not a program of gVisor's.
func (p *program) mayBeRunsc() bool {
	info, err := buildinfo.ReadFile(p.descriptor())
	if err == nil && info.Path == modulePath {
		return true
	}
	return isRunscName(p.path) && p.isBinary()
}

// isRunscName reports whether a path may name runsc, perhaps with a version or as the target of
// a wrapper (.runsc-wrapped). Other programs of a release have similar names.
func isRunscName(path string) bool {
	dir, name := filepath.Split(path)
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "."), programName)
	return ok && rest != "-metric-server" && filepath.Base(dir) != sidecarDir && (rest == "" || strings.ContainsAny(rest[:1], "-_."))
}

// isBinary reports whether the program is an ELF file.
func (p *program) isBinary() bool {
	file, err := elf.Open(p.descriptor())
	if err != nil {
		return false
	}
	_ = file.Close()
	return true
}

// checkDirs returns an error if another user than root and the server's can replace one of the
// directories in which the program is. Files next to the program tell something about it only then.
func (p *program) checkDirs(dirs ...string) error {
	for _, dir := range dirs {
		who, err := trust.Writers(dir, os.Geteuid())
		if err == nil && who != "" {
			err = errors.New(who)
		}
		if err != nil {
			return &fs.PathError{Op: "run", Path: p.path, Err: err}
		}
	}
	return nil
}

// startsSentry reports whether the program starts sandboxes with a sentry, because that file is in
// the directory next to it. The error is set if somebody else may have put it there.
func (p *program) startsSentry(sentry host.Executable) (bool, error) {
	path, err := os.Readlink(p.descriptor()) // without links
	if err != nil || sentry.File == (host.File{}) {
		return false, err
	}
	dir := filepath.Join(filepath.Dir(path), sidecarDir)
	entries, _ := os.ReadDir(dir) // a single program has no such directory
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), sentryPrefix) || fileAt(name) != sentry.File {
			continue
		}
		sidecar, err := open(name)
		if err != nil {
			return false, err
		}
		defer sidecar.close()
		return sidecar.id == sentry.File, p.checkDirs(filepath.Dir(p.path), dir)
	}
	return false, nil
}

// fileAt returns the file at a path, or zero.
func fileAt(path string) host.File {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return host.File{}
	}
	return fileOf(&st)
}

func fileOf(st *unix.Stat_t) host.File {
	return host.File{Device: st.Dev, Inode: st.Ino, Modified: st.Mtim.Nano()}
}

// descriptor returns a path of the open file in this process.
func (p *program) descriptor() string { return "/proc/self/fd/" + strconv.Itoa(int(p.file.Fd())) }

// run runs the program and returns its standard output. It returns when the program and all
// processes of its process group have ended: by themselves, or killed because ctx is done, the time
// is over or the output is too long.
func (p *program) run(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	out, said := &capped{limit: maxOutput, full: cancel}, &capped{limit: maxError, full: func() {}}
	cmd := exec.Command("/proc/self/fd/3", args...) // in the child, ExtraFiles begin with descriptor 3
	cmd.Args[0], cmd.ExtraFiles = p.path, []*os.File{p.file}
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = pipeGrace
	cmd.Stdout, cmd.Stderr = out, said
	err := cmd.Start()
	if err == nil {
		killWhenDone(ctx, cmd.Process.Pid)
		err = cmd.Wait()
	}
	switch {
	case out.exceeded:
		err = fmt.Errorf("the output is longer than %d bytes", maxOutput)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("killed after %v", runTimeout)
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w%s", p.path, strings.Join(args, " "), err, said.quoted())
	}
	return out.data, nil
}

// killWhenDone waits until a child has ended, which it makes sure of when ctx is done, and kills
// the rest of its process group. The child stays a zombie for the caller to wait for: until then no
// other process and no other group has its number, so nothing else is killed.
func killWhenDone(ctx context.Context, leader int) {
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = unix.Kill(-leader, unix.SIGKILL)
		close(killed)
	})
	for unix.Waitid(unix.P_PID, leader, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	if !stop() {
		<-killed
	}
	_ = unix.Kill(-leader, unix.SIGKILL)
}

// A capped writer keeps the first limit bytes, and calls full when there are more.
type capped struct {
	data     []byte
	limit    int
	full     func()
	exceeded bool
}

// Write implements io.Writer. It never fails, so that a program which writes more than it should is
// not ended by SIGPIPE before its error is known.
func (c *capped) Write(b []byte) (int, error) {
	n := min(len(b), c.limit-len(c.data))
	c.data = append(c.data, b[:n]...)
	if n < len(b) && !c.exceeded {
		c.exceeded = true
		c.full()
	}
	return len(b), nil
}

// quoted returns the last line of the output, for the end of an error: printable, on one line.
func (c *capped) quoted() string {
	lines := bytes.Split(bytes.TrimSpace(c.data), []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 {
		return ": " + strconv.QuoteToASCII(string(last))
	}
	return ""
}
