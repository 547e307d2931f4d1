package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// image is the image of all containers, with this program at /guest.
const image = "guest:1"

// docker talks to the daemon itself: an emulated processor takes a second to start its client.
type docker struct{}

var daemon = http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", "/run/docker.sock")
}}}

func (docker) call(method, path string, body, reply any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, "http://docker/containers/"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := daemon.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err = io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, data)
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(data, reply)
}

func (d docker) create(memory int, args ...string) (string, error) {
	var created struct{ ID string }
	err := d.call("POST", "create", map[string]any{
		"Image": image, "Cmd": append([]string{"/guest", "app"}, args...),
		"HostConfig": map[string]any{"Runtime": "runsc", "Memory": memory, "NetworkMode": "none"},
	}, &created)
	return created.ID, err
}

func (d docker) start(id string) error { return d.call("POST", id+"/start", nil, nil) }
func (d docker) wait(id string) error  { return d.call("POST", id+"/wait", nil, nil) }
func (d docker) kill(id string) error  { return d.call("POST", id+"/kill", nil, nil) }

// stop gives the container an hour for its end, so that the daemon never kills it.
func (d docker) stop(id string) error { return d.call("POST", id+"/stop?t=3600", nil, nil) }

func (d docker) remove(id string, force bool) error {
	return d.call("DELETE", fmt.Sprint(id, "?force=", force), nil, nil)
}

func (d docker) pid(id string) (int, error) {
	var container struct{ State struct{ PID int } }
	err := d.call("GET", id+"/json", nil, &container)
	return container.State.PID, err
}

// containerd is used through ctr, which has no counterpart of docker stop.
type containerd struct{}

var created atomic.Int32

func ctr(args ...string) (string, error) {
	out, err := exec.Command("ctr", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func (containerd) create(memory int, args ...string) (string, error) {
	id := fmt.Sprintf("guest-%d", created.Add(1))
	_, err := ctr(append([]string{"container", "create", "--runtime", "io.containerd.runsc.v1", "--memory-limit", strconv.Itoa(memory),
		"--annotation", "io.kubernetes.cri.container-type=sandbox", "docker.io/library/" + image, id, "/guest", "app"}, args...)...)
	return id, err
}

func (containerd) start(id string) error {
	_, err := ctr("task", "start", "--detach", id)
	return err
}

func (containerd) kill(id string) error {
	_, err := ctr("task", "kill", "--signal", "SIGKILL", id)
	return err
}

func (containerd) stop(id string) error {
	_, err := ctr("task", "kill", "--signal", "SIGTERM", id)
	return err
}

func (containerd) remove(id string, force bool) error {
	args := []string{"task", "delete", id}
	if force {
		args = []string{"task", "delete", "--force", id}
	}
	if _, err := ctr(args...); err != nil {
		return err
	}
	_, err := ctr("container", "delete", id)
	return err
}

func (containerd) pid(id string) (int, error) {
	pid, _, err := task(id)
	return pid, err
}

func (containerd) wait(id string) error {
	for {
		if _, status, err := task(id); err != nil || status == "STOPPED" {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func task(id string) (pid int, status string, err error) {
	list, err := ctr("task", "list")
	for line := range strings.Lines(list) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == id {
			pid, err = strconv.Atoi(words[1])
			return pid, words[2], err
		}
	}
	return 0, "", fmt.Errorf("no task of %s: %w", id, err)
}
