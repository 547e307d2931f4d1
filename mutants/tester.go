package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A tester tests mutants.
type tester struct {
	dir    string // for files; the caller removes it
	out    io.Writer
	limits map[string]time.Duration // by arguments of go test: how long the tests may take
}

// A verdict is the result of testing a mutant.
type verdict string

const (
	killed   verdict = "killed"
	survived verdict = "SURVIVED"
	broken   verdict = "DOES NOT COMPILE"
)

// testsOf returns the arguments of go test for the tests that may kill a mutant, in the order in which they run.
func testsOf(m *mutant) [][]string {
	own := "./internal/" + m.pkg
	if m.slow == "" {
		return [][]string{{own}}
	}
	return [][]string{{"-skip", m.slow, own}, {"-run", m.slow, own}}
}

// testUnchanged runs the tests that are to kill mutants without any, and notes how long they may take: a
// mutant that hangs is killed.
func (t *tester) testUnchanged(ctx context.Context, mutants []*mutant) error {
	for _, m := range mutants {
		for _, tests := range testsOf(m) {
			name := strings.Join(tests, " ")
			if _, known := t.limits[name]; known {
				continue
			}
			began := time.Now()
			if output, err := goTest(ctx, 10*time.Minute, tests...); err != nil {
				return fmt.Errorf("go test %s fails without a mutant: %w\n%s", name, err, output)
			}
			took := time.Since(began)
			t.limits[name] = 30*time.Second + 3*took
			fmt.Fprintf(t.out, "go test %s without a mutant: %v\n", name, took.Round(time.Second))
		}
	}
	return nil
}

// test tests a mutant, whose number is for the names of files. The detail says what killed it.
func (t *tester) test(ctx context.Context, number int, m *mutant) (v verdict, detail string) {
	overlay, err := t.write(number, m)
	if err != nil {
		return broken, err.Error()
	}
	for _, tests := range testsOf(m) {
		name := strings.Join(tests, " ")
		output, err := goTest(ctx, t.limits[name], append([]string{"-overlay", overlay}, tests...)...)
		switch {
		case err == nil:
		case strings.Contains(output, "[build failed]"), strings.Contains(output, "[setup failed]"):
			return broken, compileError.FindString(output)
		default:
			return killed, reason(output)
		}
	}
	return survived, m.in
}

// write writes the files for the option -overlay of the go command.
func (t *tester) write(number int, m *mutant) (overlay string, err error) {
	from, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	to := filepath.Join(t.dir, fmt.Sprintf("%d.go", number))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{from: to}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(to, []byte(m.code), 0o600); err != nil {
		return "", err
	}
	overlay = filepath.Join(t.dir, fmt.Sprintf("%d.json", number))
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// goTest runs tests until the first one fails.
func goTest(ctx context.Context, limit time.Duration, args ...string) (output string, err error) {
	options := []string{"-n", "10", "go", "test", "-count=1", "-failfast", "-vet=off", "-buildvcs=false", "-ldflags=-w", "-timeout", limit.String()}
	c := exec.CommandContext(ctx, "nice", append(options, args...)...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // go test waits for the tests
	text, err := c.CombinedOutput()
	return string(text), err
}

var (
	failed       = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	compileError = regexp.MustCompile(`(?m):[0-9]+:[0-9]+: .*`)
)

// reason returns the name of the test that failed, or why there is none.
func reason(output string) string {
	if name := failed.FindStringSubmatch(output); name != nil {
		return name[1]
	}
	for _, sign := range []string{"test timed out", "panic:", "goroutines", "file descriptors"} {
		if strings.Contains(output, sign) {
			return sign
		}
	}
	return "fails"
}
