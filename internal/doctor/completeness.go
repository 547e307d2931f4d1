package doctor

import "strings"

// The causes of completeness, which is about the examination itself.
var (
	notExamined = Cause{"sandboxes_not_examined", Problem}
	incomplete  = Cause{"incomplete", Warning}
)

var completenessCheck = Check{"completeness", []Cause{notExamined, incomplete}, judgeCompleteness}

// judgeCompleteness judges whether everything was observed.
func judgeCompleteness(o *Observed) (string, []Finding) {
	var findings []Finding
	if o.Failed != "" {
		findings = append(findings, notExamined.finding("the sandboxes were not examined", o.Failed,
			"run this command as root, with /proc mounted, and again if it ran out of time"))
	}
	if len(o.Incomplete) > 0 {
		findings = append(findings, incomplete.finding("a part of this examination is missing", strings.Join(o.Incomplete, "; "),
			"run this command as root, and again if it ran out of time"))
	}
	if len(findings) > 0 {
		return "not everything was examined", findings
	}
	return "everything was examined", nil
}
