package kubernetes

import (
	"errors"
	"fmt"
)

// The password of scrapers and probes, and its hash.
const (
	userPassword = "prometheus:sesame"
	webConfig    = `basic_auth_users: {prometheus: "$2a$04$mHlybVnZ07EerKZyOL1P0.GfmRXt5s5ejJt85VX66Euw1fOohbdnm"}`
	probeConfig  = `basic_auth: {username: prometheus, password_file: password}`
)

// checkSecured: a server with a password from a Secret, which its probes have too, and a registration
// from a ConfigMap instead of a program of the node.
func checkSecured(n *node) {
	const namespace = "secured"
	n.create(namespace, idle(namespace, "app"))
	n.untilUp(namespace, "app")
	n.apply(
		data("Secret", "web", "stringData", object{"web.yml": webConfig}),
		data("Secret", "probe", "stringData", object{"client.yml": probeConfig, "password": "sesame"}),
		data("ConfigMap", "registration", "data", object{"registration": n.run(n.runsc, "metric-metadata")}),
	)
	n.helm("web.configSecret=web", "web.probeSecret=probe", "registration.configMap=registration", "runsc.paths=null")
	n.until(func() error {
		servers, err := n.servers()
		if err != nil || len(servers) != 1 || !servers[0].ready() {
			return fmt.Errorf("not one server that is ready: %+v (%w)", servers, err)
		}
		address := servers[0].Status.PodIP + ":19640/metrics"
		p, err := readPage("http://" + userPassword + "@" + address)
		if err != nil {
			return err
		}
		if up, _ := p.value("sandmeter_sandbox_up", "namespace_name", namespace); up != 1 {
			return errors.New("the sandbox has no metrics")
		}
		if _, err := readBody("http://" + address); err == nil {
			n.t.Error("the page needs no password")
		}
		return nil
	})
	n.run(n.bin+"/helm", "rollback", "sandmeter", "--namespace", serverNamespace, "--wait", "--timeout", ample.String())
	n.untilServed()
	n.remove(namespace)
	n.untilRecorded(namespace, 1, "app")
}

// data returns an object of the API with data for the server.
func data(kind, name, field string, content object) object {
	return object{"apiVersion": "v1", "kind": kind, "metadata": object{"namespace": serverNamespace, "name": name}, field: content}
}
