package kubernetes

import "encoding/json"

// checkDoctor: doctor, in the container of the server as docs/doctor.md has it, finds that each sandbox
// is served, and no problem.
func checkDoctor(n *node) {
	n.create("shop", shop)
	n.untilReady("shop", "web")
	id := n.untilUp("shop", "web")["web"]
	out := n.kubectl("exec", "--namespace", serverNamespace, "daemonset/sandmeter", "--", "/sandmeter", "doctor", "--json")
	var found struct {
		Problems  int
		Checks    json.RawMessage
		Sandboxes []struct {
			ID          string
			QueryStatus string                  `json:"query_status"`
			OnServers   []struct{ Served bool } `json:"on_servers"`
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		n.t.Fatalf("%v: %s", err, out)
	}
	if found.Problems != 0 {
		n.t.Errorf("%d problems: %s", found.Problems, found.Checks)
	}
	served := false
	for _, s := range found.Sandboxes {
		if s.ID == id {
			served = s.QueryStatus == "ok" && len(s.OnServers) == 1 && s.OnServers[0].Served
		}
	}
	if !served {
		n.t.Errorf("sandbox %s is not served, of %+v", id, found.Sandboxes)
	}
}
