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
		Problems int
		Findings json.RawMessage
		Servers  []struct {
			Status struct {
				Sandboxes []struct {
					ID          string
					QueryStatus string `json:"query_status"`
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		n.t.Fatalf("%v: %s", err, out)
	}
	if found.Problems != 0 {
		n.t.Errorf("%d problems: %s", found.Problems, found.Findings)
	}
	served := false
	for _, server := range found.Servers {
		for _, s := range server.Status.Sandboxes {
			served = served || s.ID == id && s.QueryStatus == "ok"
		}
	}
	if !served {
		n.t.Errorf("sandbox %s is not served, of %+v", id, found.Servers)
	}
}
