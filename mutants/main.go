// Command mutants checks that tests fail when a rule of the server is broken. A mutant is the server's
// code with one rule broken, and the tests of the package that has the rule have to fail: then the
// mutant is killed. The table of rules is in the files rules_*.go. Run it from the root of the checkout,
// in which it writes nothing.
//
// It exits with status 1 if a mutant survives, does not compile, or is lost because the code has changed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"sync"
	"time"
)

// A rule is a rule of the server, and how to break it.
type rule struct {
	in       string // name of a function, a method as Type.method, a constant, or a variable
	text     string // the rule in plain words, unique in the package
	old, new string // old occurs once in the declaration
}

// A table has the rules of a package.
type table struct {
	pkg   string // below internal
	slow  string // regexp of tests that take long: they run only if the others kill no mutant
	rules []rule
}

var tables = []table{verifyRules, controlRules, guardRules, hostRules, collectRules, shareRules, webRules, totalsRules, recordsRules}

// A mutant is a rule to break.
type mutant struct {
	rule
	pkg, slow string
	file      string // path of the file to replace
	code      string // its content with the rule broken
}

func (m *mutant) String() string { return m.pkg + ": " + m.text }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	list := flags.Bool("list", false, "List the rules, and test nothing.")
	only := flags.String("run", "", "Break only rules that match this `regexp`: as -list prints them, PACKAGE: RULE.")
	parallel := flags.Int("parallel", runtime.NumCPU(), "Test this `number` of mutants at a time.")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	mutants, err := makeMutants(".", pattern)
	if err != nil {
		return err
	}
	if *list {
		for _, m := range mutants {
			fmt.Fprintln(out, m)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := &tester{dir: dir, out: out, limits: make(map[string]time.Duration)}
	if err := t.testUnchanged(ctx, mutants); err != nil {
		return err
	}
	return t.testAll(ctx, mutants, *parallel)
}

// testAll tests mutants, and prints each with its verdict as soon as that is known.
func (t *tester) testAll(ctx context.Context, mutants []*mutant, parallel int) error {
	began := time.Now()
	var running sync.WaitGroup
	var mu sync.Mutex
	counts := make(map[verdict]int)
	turns := make(chan struct{}, max(1, parallel))
	for i, m := range mutants {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			v, detail := t.test(ctx, i, m)
			mu.Lock()
			defer mu.Unlock()
			counts[v]++
			if ctx.Err() == nil {
				fmt.Fprintf(t.out, "%3d/%d  %-16s  %s  (%s)\n", i+1, len(mutants), v, m, detail)
			}
		})
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%d killed, %d survived, %d do not compile, in %v\n", counts[killed], counts[survived], counts[broken], time.Since(began).Round(time.Second))
	if counts[killed] < len(mutants) {
		return errors.New("some are not killed: add the test, or correct the mutant")
	}
	return nil
}
