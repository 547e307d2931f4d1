package doctor

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The causes of runsc.
var (
	runscOld      = Cause{"runsc_old", Warning}
	runscReplaced = Cause{"runsc_replaced", Warning}
)

// maxAge is the age from which a release of runsc is old. gVisor has a release every week.
const maxAge = 182 * 24 * time.Hour

var releaseDate = regexp.MustCompile(`^release-(20\d{6})\.`)

// Built returns when a sandbox's runsc was released or built; zero: not known.
func (o *Observed) Built(s *Sandbox) time.Time {
	if m := releaseDate.FindStringSubmatch(s.Version); m != nil {
		if t, err := time.Parse("20060102", m[1]); err == nil {
			return t
		}
	}
	if p := o.runsc(s.PID); p != nil {
		return p.Built
	}
	return time.Time{}
}

var runscCheck = Check{"runsc", []Cause{runscOld, runscReplaced}, judgeRunsc}

// judgeRunsc judges the age of the programs of sandboxes.
func judgeRunsc(o *Observed) (string, []Finding) {
	var g groups
	var versions []string
	for _, s := range o.running() {
		versions = append(versions, cmp.Or(s.Version, "unknown"))
		built := o.Built(s)
		if age := o.Time.Sub(built); !built.IsZero() && age > maxAge {
			g.add(s, runscOld.finding(fmt.Sprintf("runsc is %d days old (%s)", days(age), orNone(s.Version)),
				"gVisor has a release every week, and security fixes are in new ones only",
				"install a current runsc, and create the sandboxes again"))
		}
	}
	findings := g.findings()
	var replaced []*Sandbox
	for _, s := range o.running() {
		if p := o.runsc(s.PID); p != nil && p.Replaced {
			replaced = append(replaced, s)
		}
	}
	if n := len(replaced); n > 0 {
		findings = append(findings, runscReplaced.finding(count(n, "sandbox")+": their runsc is not on disk any more",
			"runsc was upgraded or removed after they were created", "create the sandboxes again to run the installed release").of(replaced...))
	}
	slices.Sort(versions)
	versions = slices.Compact(versions)
	if len(versions) == 0 {
		return "no sandbox is running", findings
	}
	return "running releases: " + strings.Join(versions, ", "), findings
}
