package kubernetes

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// apiClient asks the API server. Its certificate is its own, and both are alone in their network.
var apiClient = &http.Client{Timeout: ample, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// get reads an object of the API server, unless into is nil.
func (n *node) get(path string, into any) error {
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, apiAddress+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := apiClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// kubectl runs kubectl, which must succeed.
func (n *node) kubectl(args ...string) string {
	n.t.Helper()
	return n.run(n.programs+"/kubectl", args...)
}

// apply applies objects. An error is that of an admission plugin that has not seen another object
// yet, so it is tried again.
func (n *node) apply(objects ...object) {
	n.t.Helper()
	list, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": objects})
	n.must(err)
	n.until(func() error {
		_, err := n.try(list, n.programs+"/kubectl", "apply", "--filename", "-")
		return err
	})
}

// isReady reports with an error whether the node takes no pods yet.
func (n *node) isReady() error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := n.get("/api/v1/nodes/"+nodeName, &node); err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("the node is not ready: %+v", node.Status.Conditions)
}

// A pod is an object of the API, as far as tests read it.
type pod struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels               map[string]string
		DeletionTimestamp    *time.Time
	}
	Spec   struct{ NodeName string }
	Status struct {
		Phase, PodIP      string
		ContainerStatuses []containerStatus
	}
}

type containerStatus struct {
	Name, ContainerID string
	Ready             bool
	RestartCount      int
	State, LastState  struct {
		Terminated *struct {
			ExitCode int
			Reason   string
		}
	}
}

// ready reports whether all containers of the pod are ready.
func (p pod) ready() bool {
	for _, c := range p.Status.ContainerStatuses {
		if !c.Ready {
			return false
		}
	}
	return p.Metadata.DeletionTimestamp == nil && len(p.Status.ContainerStatuses) > 0
}

// pod returns a pod.
func (n *node) pod(namespace, name string) (p pod, err error) {
	err = n.get("/api/v1/namespaces/"+namespace+"/pods/"+name, &p)
	return p, err
}

// pods returns the pods of a namespace.
func (n *node) pods(namespace string) ([]pod, error) {
	var list struct{ Items []pod }
	err := n.get("/api/v1/namespaces/"+namespace+"/pods", &list)
	return list.Items, err
}
