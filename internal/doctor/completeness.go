package doctor

import "strings"

// incomplete is about this examination itself.
var incomplete = Cause{"incomplete", Warning}

var completenessCheck = Check{"completeness", []Cause{incomplete}, judgeCompleteness}

// judgeCompleteness judges whether everything was observed.
func judgeCompleteness(o *Observed) (string, []Finding) {
	if len(o.Incomplete) == 0 {
		return "everything was examined", nil
	}
	return "not everything was examined", []Finding{incomplete.finding("a part of this examination is missing", strings.Join(o.Incomplete, "; "),
		"run this command as root, and again if it ran out of time")}
}
