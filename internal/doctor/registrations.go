package doctor

// noRegistrationSource is about the sandboxes to come.
var noRegistrationSource = Cause{"no_registration_source", Warning}

var registrationsCheck = Check{"registrations", []Cause{noRegistrationSource}, judgeRegistrations}

// judgeRegistrations judges whether sandboxes to come have registrations.
func judgeRegistrations(o *Observed) (string, []Finding) {
	var findings []Finding
	if !hasSource(o) {
		findings = append(findings, noRegistrationSource.finding("sandboxes that are created without --metric-server would have no metrics",
			"no runsc is in the configurations of Docker and containerd or in PATH, and there is no file with a registration",
			"name runsc with --runsc, or save the output of runsc metric-metadata and name the file with --registration"))
	}
	switch {
	case o.RegistrationFile:
		return "a registration is in a file", findings
	case len(o.Programs) > 0:
		return count(len(o.Programs), "runsc program") + " can tell registrations", findings
	}
	return "no runsc program can tell registrations", findings
}

// hasSource reports whether sandboxes have registrations, now or when they are created.
func hasSource(o *Observed) bool {
	if o.RegistrationFile || len(o.Programs) > 0 {
		return true
	}
	for _, r := range o.Runtimes {
		if r.MetricServer == "" {
			return false
		}
	}
	return len(o.Runtimes) > 0
}
