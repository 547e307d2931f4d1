package main

import (
	"os"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

func TestWrongUsage(t *testing.T) {
	w := newWorld(t)
	w.must(os.WriteFile(w.path("file"), nil, 0o644))
	w.must(os.WriteFile(w.path("sim-0000_sandbox:sim-0000.state"), nil, 0o644))
	w.fails("", cli.ExitUsage, "a command is missing, one of demo, simulate; try: sandlab --help")
	w.fails("simulat", cli.ExitUsage, `there is no command "simulat"; did you mean simulate?`)
	w.fails("simulate --root {dir}/missing", cli.ExitFail, "open {dir}/missing: no such file or directory; --root names an existing directory")
	w.fails("simulate --root {dir}/file", cli.ExitFail, "open {dir}/file: not a directory; --root names an existing directory")
	w.fails("simulate --root {dir}", cli.ExitFail, "{dir} has simulated sandboxes: end the program that plays them, or remove {dir}/*sim-*")
	w.fails("simulate -n 0", cli.ExitUsage, "--sandboxes 0: play at least 1")
	w.fails("simulate --points 7", cli.ExitUsage, "--points 7: choose 8 to 170")
	w.fails("simulate -n 3 --full 4", cli.ExitUsage, "--full 4: choose at most as many as there are sandboxes, all of one release")
	w.fails("simulate -n 3 -n 4", cli.ExitUsage, `invalid argument "4" for "-n, --sandboxes" flag: it is given twice; try: sandlab simulate --help`)
}
