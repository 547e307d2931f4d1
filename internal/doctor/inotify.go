package doctor

import "fmt"

// The causes of inotify.
var (
	noInotifyInstance = Cause{"inotify_instances", Warning}
	noInotifyWatch    = Cause{"inotify_watches", Warning}
)

var inotifyCheck = Check{"inotify", []Cause{noInotifyInstance, noInotifyWatch}, judgeInotify}

// judgeInotify judges whether the runtime roots can be watched.
func judgeInotify(o *Observed) (string, []Finding) {
	const why = "new and ended sandboxes are then noticed once per minute only, so short lives have no first and last values: "
	var findings []Finding
	raise := func(name string, now, least int) string {
		return fmt.Sprintf("sysctl -w %s=%d, and the same line in a file of /etc/sysctl.d", name, max(2*now, least))
	}
	i := &o.Inotify
	if i.Instances != "" {
		findings = append(findings, noInotifyInstance.finding("this user cannot make another inotify instance", why+i.Instances,
			raise("fs.inotify.max_user_instances", i.MaxInstances, 128)))
	}
	if i.Watches != "" {
		findings = append(findings, noInotifyWatch.finding("this user cannot watch the runtime roots", why+i.Watches,
			raise("fs.inotify.max_user_watches", i.MaxWatches, 8192)))
	}
	if len(findings) > 0 {
		return "inotify is exhausted", findings
	}
	return "the runtime roots can be watched", nil
}
