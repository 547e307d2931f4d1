package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// An engine has a shell command for each step in the life of a container, whose program is this one. The
// commands have the variables ID, MEMORY (its limit), and ARGS.
type engine struct {
	create, start string
	pid           string // prints the process of the sandbox
	kill, stop    string // with SIGKILL, and with SIGTERM
	wait          string // until it has ended
	remove, force string
}

// daemon queries Docker's daemon: an emulated processor takes a second to start Docker's own client.
const daemon = "curl -fsS --unix-socket /run/docker.sock -H 'Content-Type: application/json' http://docker/containers/"

var engines = map[string]engine{
	"docker": {
		create: daemon + `create -d '{"Image": "guest:1", "Cmd": ["/guest", "app", "'"$(echo $ARGS | sed 's/ /", "/')"'"],
			"HostConfig": {"Runtime": "runsc", "Memory": '$MEMORY', "NetworkMode": "none"}}' | jq -r .Id`,
		start:  daemon + "$ID/start -X POST",
		pid:    daemon + "$ID/json | jq .State.Pid",
		kill:   daemon + "$ID/kill -X POST",
		stop:   daemon + "$ID/stop?t=3600 -X POST", // so that the daemon does not kill it instead
		wait:   daemon + "$ID/wait -X POST",
		remove: daemon + "$ID -X DELETE",
		force:  daemon + "$ID?force=true -X DELETE",
	},
	"containerd": {
		create: `ID=guest-$RANDOM$$; ctr container create --runtime io.containerd.runsc.v1 --memory-limit $MEMORY \
			--annotation io.kubernetes.cri.container-type=sandbox docker.io/library/guest:1 $ID /guest app $ARGS && echo $ID`,
		start:  "ctr task start --detach $ID",
		pid:    "/sandmeter/bin/runsc --root /run/containerd/runsc/default state $ID | jq .pid",
		kill:   "ctr task kill --signal SIGKILL $ID",
		stop:   "ctr task kill --signal SIGTERM $ID",
		wait:   "until ctr task list | grep -q \"^$ID .*STOPPED\"; do sleep 0.1; done",
		remove: "ctr task delete $ID && ctr container delete $ID",
		force:  "ctr task delete --force $ID && ctr container delete $ID",
	},
}

// do runs a command of an engine, and returns its output.
func do(command string, variables ...string) (string, error) {
	cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
	cmd.Env = append(os.Environ(), variables...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s%s", command, err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}
