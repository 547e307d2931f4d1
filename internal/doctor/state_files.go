package doctor

var stateFileUnreadable = Cause{"state_file_unreadable", Problem}

var stateFilesCheck = Check{"state_files", []Cause{stateFileUnreadable}, judgeStateFiles}

// judgeStateFiles judges whether the state files are readable.
func judgeStateFiles(o *Observed) (string, []Finding) {
	var findings []Finding
	for i := range o.Roots {
		findings = append(findings, judgeFiles(&o.Roots[i])...)
	}
	if len(findings) == 0 {
		return "all state files are readable", nil
	}
	return "some state files are not readable", findings
}

// judgeFiles returns the unreadable state files of a root, those with equal errors together.
func judgeFiles(r *Root) []Finding {
	var findings []Finding
	byErr := make(map[string]int)
	for _, file := range r.Files {
		err := file.Err
		i, known := byErr[err]
		if !known && len(findings) == maxGroups {
			i, known = maxGroups-1, true
			findings[i].Why = "various errors: --json has the log"
		}
		if !known {
			i = len(findings)
			findings = append(findings, stateFileUnreadable.finding("", err,
				"run as root; if the file is damaged, delete the container with runsc --root "+r.Path+" delete --force"))
		}
		byErr[err] = i
		findings[i] = findings[i].at(r.Path + "/" + file.Name)
	}
	for i := range findings {
		n := len(findings[i].Where)
		findings[i].What = count(n, "state file") + " " + be(n) + " not readable, so sandboxes are not served"
	}
	return findings
}
