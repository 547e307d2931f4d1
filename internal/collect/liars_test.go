package collect

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestLiars scrapes each liar alone, a few times, and checks the reason on the page. A refused liar
// may have been served before it lied.
func TestLiars(t *testing.T) {
	for _, liar := range liars.All() {
		t.Run(liar.Topic+"/"+liar.Name, func(t *testing.T) {
			wants := testkit.Reasons(liar)
			n := newNode(t, func(o *Options) {
				if slices.Contains(wants, "stalled") {
					o.SandboxTimeout = 100 * time.Millisecond
				}
			})
			s, err := liar.Start(n.root, simulate.Spec{ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Remove() })
			if liar.Topic == "savings" {
				n.look()
				n.savingsBudget("x").limit = stalledTimeout // some stall here, which must not affect the metrics
			}
			met := false
			for range 4 {
				got := failureOf(n.page())
				met = met || slices.Contains(wants, got)
				if got != "" && !slices.Contains(wants, got) {
					t.Errorf("refused for %q, want %q; the log says\n%s", got, wants, strings.Join(n.logLines(), "\n"))
				}
			}
			if !met {
				t.Errorf("never refused for %q", wants)
			}
		})
	}
}

// TestUsageLiars: a sandbox that lies about its use only shifts CPU time between its own containers.
// Its metrics stay, the log names it, and an honest sandbox beside it is not affected.
func TestUsageLiars(t *testing.T) {
	for _, liar := range liars.OfUsage() {
		t.Run(liar.Name, func(t *testing.T) {
			r := newReporting(t, detailed, liar.Spec)
			honest := r.start(simulate.Spec{ID: "honest", OwnProcess: true, Now: r.now})
			r.addProcess(t, honest.PID(), "honest")
			const rounds, second = 5, 1000
			for i := range rounds {
				r.use.Interfaces = []simulate.Interface{{Name: "eth0", TxBytes: int64(i) * 2e6}}
				r.write(t, fmt.Sprintf("proc/%d/net/dev", os.Getpid()), fmt.Sprintf("\n\neth0: 0 0 0 0 0 0 0 0 %d 0 0 0 0 0 0 0\n", i*2e6))
				r.use.Memory = map[string]int64{"a": 1 << 30, "b": 1 << 30}
				r.write(t, "sys/fs/cgroup/a/memory.current", "2200000000\n")
				r.set((i+1)*2*second, (i+1)*second, (i+1)*second)
				honest.Report(simulate.Use{CPU: map[string]time.Duration{"honest": time.Duration(i+1) * time.Second}})
				r.write(t, "sys/fs/cgroup/honest/cpu.stat", fmt.Sprintf("usage_usec %d\n", (i+1)*1e6))
				page := r.page()
				r.checkLiar(page, (i+1)*2)
				want := fmt.Sprintf("{container=,container_id=} 0; {container=honest,container_id=honest} %d", i+1)
				if got := usageText(page, "honest", shares); got != want {
					t.Errorf("the honest sandbox has %s, want %s", got, want)
				}
			}
			r.expectLog(testkit.UsageLog(liar))
		})
	}
}

// checkLiar checks that a page has the metrics of "a", and that its containers have no more and no
// less CPU time, in seconds, than the host measured, and no more memory.
func (r *reporting) checkLiar(page string, cpu int) {
	r.Helper()
	if len(series(page, "runsc_fs_opens{")) != 2 {
		r.Error("a sandbox has no metrics")
	}
	sum := map[string]float64{}
	for name, text := range usageOn(page, "a") {
		family, _, _ := strings.Cut(name, "{")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || value < 0 && family != "sandmeter_sandbox_claim_difference_ratio" {
			r.Errorf("%s is %s", name, text)
		}
		sum[family] += value
	}
	if got, there := sum[shares]; there && math.Abs(got-float64(cpu)) > 1e-6 {
		r.Errorf("containers have %v s of CPU time, want %d", got, cpu)
	}
	if got := sum["sandmeter_container_memory_bytes"]; got > 2.2e9 {
		r.Errorf("containers have %v bytes of memory", got)
	}
}

// failureOf returns the failure reason of the only sandbox on the page, "" for none, or "absent".
func failureOf(page string) string {
	for _, line := range series(page, "runsc_meta_sandbox_failure{") {
		return strings.Split(line, `"`)[1]
	}
	if len(series(page, "runsc_meta_sandbox_presence{")) == 0 {
		return "absent"
	}
	return ""
}
